/* The system calls of a front process, which reads all that strangers send. */
/* Not for making a filter of them (core/seccomp.h), nor for the master. */
#include "front/confine.h"

#include <amy/front.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* By families, and not as one C library of one year happens to call: where a
 * newer one has another call of the same family it is here, too. What is not
 * here does not exist (ENOSYS), which C libraries have an answer to; so a
 * surprise costs a feature, not the process. */
#define ALLOW(name)                                                            \
    {                                                                          \
        name, AMY__SECCOMP_ALLOW, 0, 0, 0                                      \
    }
#define ALLOW_IF(name, arg, mask, value)                                       \
    {                                                                          \
        name, AMY__SECCOMP_ALLOW, arg, mask, value                             \
    }
/* No part of ours begins with these: somebody else is at work in here. */
#define DIE(name)                                                              \
    {                                                                          \
        name, AMY__SECCOMP_TRAP, 0, 0, 0                                       \
    }

#define INT_MASK 0xffffffffU /* an int's upper half is nobody's */
#define WRITING (O_ACCMODE | O_CREAT | O_TRUNC)

static const struct amy__seccomp_rule rules[] = {
    /* Memory, none of it for code. */
    ALLOW("brk"),
    ALLOW("munmap"),
    ALLOW("mremap"),
    ALLOW("madvise"),
    ALLOW_IF("mmap", 2, PROT_EXEC, 0),
    ALLOW_IF("mmap2", 2, PROT_EXEC, 0),
    ALLOW_IF("mprotect", 2, PROT_EXEC, 0),
    /* Time. */
    ALLOW("clock_getres"),
    ALLOW("clock_getres_time64"),
    ALLOW("clock_gettime"),
    ALLOW("clock_gettime64"),
    ALLOW("clock_nanosleep"),
    ALLOW("clock_nanosleep_time64"),
    ALLOW("gettimeofday"),
    ALLOW("nanosleep"),
    ALLOW("time"),
    ALLOW("times"),
    /* What it is itself. */
    ALLOW("getcpu"),
    ALLOW("getegid"),
    ALLOW("getegid32"),
    ALLOW("geteuid"),
    ALLOW("geteuid32"),
    ALLOW("getgid"),
    ALLOW("getgid32"),
    ALLOW("getpid"),
    ALLOW("getppid"),
    ALLOW("getrlimit"),
    ALLOW("getrusage"),
    ALLOW("gettid"),
    ALLOW("getuid"),
    ALLOW("getuid32"),
    ALLOW_IF("prlimit64", 2, UINT64_MAX, 0), /* to read one */
    ALLOW("sched_getaffinity"),
    ALLOW("sched_yield"),
    ALLOW("sysinfo"),
    ALLOW("ugetrlimit"),
    ALLOW("uname"),
    ALLOW("getpriority"), /* of who checks passwords: less than it had */
    ALLOW_IF("setpriority", 1, INT_MASK, 0),
    /* Its end, signals, and locks; abort(3) sends itself one. */
    ALLOW("exit"),
    ALLOW("exit_group"),
    ALLOW("futex"),
    ALLOW("futex_time64"),
    ALLOW("get_robust_list"),
    ALLOW("restart_syscall"),
    ALLOW("rseq"),
    ALLOW("rt_sigaction"),
    ALLOW("rt_sigprocmask"),
    ALLOW("rt_sigreturn"),
    ALLOW("set_robust_list"),
    ALLOW("sigaltstack"),
    ALLOW("sigreturn"),
    ALLOW("tgkill"),
    ALLOW("getrandom"),
    /* Descriptors that it has. */
    ALLOW("close"),
    ALLOW("close_range"),
    ALLOW("copy_file_range"),
    ALLOW("dup"),
    ALLOW("dup2"),
    ALLOW("dup3"),
    ALLOW("fadvise64"),
    ALLOW("fadvise64_64"),
    ALLOW("arm_fadvise64_64"),
    ALLOW("fallocate"),
    ALLOW("fcntl"),
    ALLOW("fcntl64"),
    ALLOW("fdatasync"),
    ALLOW("flock"),
    ALLOW("fstat"),
    ALLOW("fstat64"),
    ALLOW("fstatfs"),
    ALLOW("fstatfs64"),
    ALLOW("fsync"),
    ALLOW("ftruncate"),
    ALLOW("ftruncate64"),
    ALLOW("lseek"),
    ALLOW("_llseek"),
    ALLOW("pread64"),
    ALLOW("preadv"),
    ALLOW("preadv2"),
    ALLOW("pwrite64"),
    ALLOW("pwritev"),
    ALLOW("pwritev2"),
    ALLOW("read"),
    ALLOW("readv"),
    ALLOW("sendfile"),
    ALLOW("sendfile64"),
    ALLOW("splice"),
    ALLOW("write"),
    ALLOW("writev"),
    ALLOW_IF("ioctl", 1, INT_MASK, FIONBIO),
    ALLOW_IF("ioctl", 1, INT_MASK, FIONREAD),
    ALLOW_IF("ioctl", 1, INT_MASK, TCGETS),
    /* Waiting. */
    ALLOW("epoll_create"),
    ALLOW("epoll_create1"),
    ALLOW("epoll_ctl"),
    ALLOW("epoll_pwait"),
    ALLOW("epoll_pwait2"),
    ALLOW("epoll_wait"),
    ALLOW("eventfd2"),
    ALLOW("pipe"),
    ALLOW("pipe2"),
    ALLOW("poll"),
    ALLOW("ppoll"),
    ALLOW("ppoll_time64"),
    ALLOW("pselect6"),
    ALLOW("pselect6_time64"),
    ALLOW("select"),
    ALLOW("_newselect"),
    ALLOW("timerfd_create"),
    ALLOW("timerfd_settime"),
    ALLOW("timerfd_settime64"),
    /* Sockets: to workers and upstreams; listeners are handed to it, so that it
     * binds none and listens on none. */
    ALLOW("accept"),
    ALLOW("accept4"),
    ALLOW("connect"),
    ALLOW("getpeername"),
    ALLOW("getsockname"),
    ALLOW("getsockopt"),
    ALLOW("recv"),
    ALLOW("recvfrom"),
    ALLOW("recvmmsg"),
    ALLOW("recvmsg"),
    ALLOW("send"),
    ALLOW("sendmmsg"),
    ALLOW("sendmsg"),
    ALLOW("sendto"),
    ALLOW("setsockopt"),
    ALLOW("shutdown"),
    ALLOW_IF("socket", 0, INT_MASK, AF_UNIX),
    ALLOW_IF("socket", 0, INT_MASK, AF_INET),
    ALLOW_IF("socket", 0, INT_MASK, AF_INET6),
    ALLOW_IF("socketpair", 0, INT_MASK, AF_UNIX),
    /* Files: to read, and one without a name for a long body. What openat2(2)
     * is asked for is in memory, which a filter does not read: there the user
     * is the limit, and RESOLVE_BENEATH the reason why it has to be here. */
    ALLOW("access"),
    ALLOW("faccessat"),
    ALLOW("faccessat2"),
    ALLOW("fstatat64"),
    ALLOW("getcwd"),
    ALLOW("getdents"),
    ALLOW("getdents64"),
    ALLOW("lstat"),
    ALLOW("lstat64"),
    ALLOW("newfstatat"),
    ALLOW_IF("open", 1, WRITING, O_RDONLY),
    ALLOW_IF("openat", 2, WRITING, O_RDONLY),
    ALLOW_IF("openat", 2, O_TMPFILE | O_EXCL, O_TMPFILE | O_EXCL),
    ALLOW("openat2"),
    ALLOW("readlink"),
    ALLOW("readlinkat"),
    ALLOW("stat"),
    ALLOW("stat64"),
    ALLOW("statx"),
#ifdef AMY_INSTRUMENTED
    /* What a sanitizer or a count of lines does on the side. */
    ALLOW("clone"),
    ALLOW("clone3"),
    ALLOW("kill"),
    ALLOW("membarrier"),
    ALLOW("mkdir"),
    ALLOW("prctl"),
    ALLOW("process_vm_readv"),
    ALLOW("wait4"),
    ALLOW_IF("openat", 2, O_CREAT, O_CREAT),
    ALLOW_IF("openat", 2, O_ACCMODE, O_RDWR),
#else
    DIE("process_vm_readv"),
#endif
    DIE("add_key"),
    DIE("bpf"),
    DIE("chroot"),
    DIE("execve"),
    DIE("execveat"),
    DIE("finit_module"),
    DIE("init_module"),
    DIE("io_uring_setup"),
    DIE("keyctl"),
    DIE("mount"),
    DIE("move_mount"),
    DIE("open_by_handle_at"),
    DIE("perf_event_open"),
    DIE("pidfd_getfd"),
    DIE("pivot_root"),
    DIE("process_vm_writev"),
    DIE("ptrace"),
    DIE("setns"),
    DIE("umount2"),
    DIE("unshare"),
    DIE("userfaultfd"),
};

const struct amy__seccomp_policy *
amy__front_policy(void)
{
    static const struct amy__seccomp_policy policy = {
        .rules = rules,
        .count = sizeof(rules) / sizeof(rules[0]),
        .other = AMY__SECCOMP_ENOSYS,
    };

    return &policy;
}

int
amy_front_process_confine(struct amy_error *err)
{
    return amy__seccomp_load(amy__front_policy(), err);
}
