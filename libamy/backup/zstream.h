/* Files compressed by zstd and hashed in the same pass; the only file that
 * knows libzstd. Blocking. */
#ifndef AMY_BACKUP_ZSTREAM_H
#define AMY_BACKUP_ZSTREAM_H

#include <amy/error.h>

#include "core/str.h"

#include <stdint.h>

struct amy__zwriter;
struct amy__zreader;

/* Level 3 with zstd's own checksum: a flipped byte shows to `zstd -d` too. The
 * descriptor stays the caller's. */
int amy__zwriter_create(int fd, struct amy__zwriter **ret_writer,
                        struct amy_error *err);
int amy__zwriter_write(struct amy__zwriter *writer, struct amy__span data,
                       struct amy_error *err);
/* End the frame. ret_sha256: 64 digits and a NUL. */
int amy__zwriter_finish(struct amy__zwriter *writer, char ret_sha256[65],
                        struct amy_error *err);
uint64_t amy__zwriter_bytes(const struct amy__zwriter *writer); /* written */
uint64_t amy__zwriter_raw_bytes(const struct amy__zwriter *writer); /* taken */
void amy__zwriter_free(struct amy__zwriter *writer);

int amy__zreader_create(int fd, struct amy__zreader **ret_reader,
                        struct amy_error *err);
/* The next piece of the original, valid until the next call; n == 0: its end.
 * AMY_EPARSE: damaged or cut off; AMY_EIO. */
int amy__zreader_read(struct amy__zreader *reader, struct amy__span *ret_data,
                      struct amy_error *err);
/* Once at the end: how long the file is, and its hash. Reads on to its very
 * end even where the frame is damaged, so that both can be told. */
int amy__zreader_finish(struct amy__zreader *reader, uint64_t *ret_bytes,
                        char ret_sha256[65], struct amy_error *err);
void amy__zreader_free(struct amy__zreader *reader);

#endif
