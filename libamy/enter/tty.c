/* Keeps the site's code from typing into root's terminal. A program that shares
 * it could push characters with TIOCSTI, and root's shell would read them when
 * the program has ended (CVE-2005-4890 of su, CVE-2016-2779 of runuser). A
 * pseudo terminal between would do, too, at the price of a process that copies
 * every byte and has to translate sizes, stops and signals. */
/* Not for what else a program may call. */
#include "core/error.h"
#include "enter/internal.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#else
#error "name this machine's AUDIT_ARCH_*"
#endif
/* The x32 calls of x86-64 have this bit, and the same architecture. */
#define X32_BIT 0x40000000U
/* Pastes into a console; no header of user space has it. */
#define CONSOLE_REQUEST 0x541CU
/* Of an argument the kernel looks at the low half alone, and so do we. */
#define SECOND_ARGUMENT offsetof(struct seccomp_data, args[1])

int
amy__enter_guard_terminal(struct amy_error *err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        /* Calls of another machine have other numbers: none of them. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)SYS_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SECOND_ARGUMENT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)TIOCSTI, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CONSOLE_REQUEST, 2, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]),
                                .filter = code};

    return prctl(PR_SET_SECCOMP, (unsigned long)SECCOMP_MODE_FILTER, &filter,
                 0UL, 0UL) < 0
               ? amy__err_sys(err, errno, "guarding the terminal")
               : 0;
}
