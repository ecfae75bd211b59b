/* Packets of the channel between amy-front's master and its processes, and the
 * bundle's JSON in them. */
#include "core/files.h"
#include "front/bundle.h"
#include "front/wire.h"

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span packet = {(const char *)data, size};
    struct amy__wire_header header = {0};
    struct amy__wire_message message = {0};
    struct amy__bundle *bundle = NULL;
    int fds[4] = {dup(STDERR_FILENO), dup(STDERR_FILENO), dup(STDERR_FILENO),
                  dup(STDERR_FILENO)};

    message.fds = fds;
    message.fd_count = 4;
    if (amy__wire_decode(packet, 0, &header, &message.json, NULL) == 0) {
        uint32_t index = 0;
        uint32_t processes = 0;

        if (message.json != NULL) {
            (void)amy__bundle_receive(&message, &index, &processes, &bundle,
                                      NULL);
        }
        amy__bundle_free(bundle);
        amy__json_free(message.json);
    }
    bundle = NULL;
    if (amy__bundle_unpack(packet, &message, &bundle, NULL) == 0) {
        amy__bundle_free(bundle);
    }
    for (size_t i = 0; i < 4; i++) {
        amy__close(&fds[i]);
    }
    return 0;
}
