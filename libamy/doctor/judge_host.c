/* Judges what is of the host: clock, disks, limits, ports, names, daemons. */
/* Not for looking: host.c, ports.c, names.c, daemons.c. */
#include "doctor/judge.h"

#include <string.h>

#define MIB ((uint64_t)1024 * 1024)
#define FILES_WANTED 4096U
#define SOMAXCONN_WANTED 1024U

void
amy__judge_clock(const struct amy__clock_facts *facts,
                 struct amy__findings *findings)
{
    if (facts->is_known && !facts->is_synced) {
        amy__finding_is(findings, "nothing keeps this host's clock right: "
                                  "certificates, schedules and logs go by it");
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "clock",
                          "apt install systemd-timesyncd (or chrony); "
                          "timedatectl set-ntp true");
    }
}

/* A share alone says little: 5 % of a large disk is a lot of room. */
void
amy__judge_disk(const struct amy__disk_facts *facts,
                struct amy__findings *findings)
{
    uint64_t mib = facts->bytes_free / MIB;
    bool is_short =
        facts->bytes_free < facts->bytes / 10 && mib < (uint64_t)10 * 1024;
    bool is_full = facts->bytes_free < facts->bytes / 50 && mib < 1024;

    if (is_short || is_full) {
        amy__finding_is(findings, "the disk of %s has %llu MiB left of %llu",
                        facts->path, (unsigned long long)mib,
                        (unsigned long long)(facts->bytes / MIB));
        amy__finding_tell(
            findings, is_full ? AMY_DOCTOR_ERROR : AMY_DOCTOR_WARNING,
            "disk-space", "make room, or lower `backup.keep` and `logs.total`");
    }
    if (facts->inodes > 0 && facts->inodes_free < facts->inodes / 20) {
        amy__finding_is(findings,
                        "the disk of %s has room for %llu files more, of %llu",
                        facts->path, (unsigned long long)facts->inodes_free,
                        (unsigned long long)facts->inodes);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "disk-inodes",
                          "find what makes so many: du --inodes -x -d 3 /");
    }
}

void
amy__judge_files(const char *daemon, uint64_t files,
                 struct amy__findings *findings)
{
    if (files < FILES_WANTED) {
        amy__finding_is(findings,
                        "%s may open %llu files at most, so it "
                        "serves fewer clients at once",
                        daemon, (unsigned long long)files);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "limits-files",
                          "systemctl edit %s: [Service] LimitNOFILE=65536",
                          daemon);
    }
}

void
amy__judge_somaxconn(uint64_t value, struct amy__findings *findings)
{
    if (value < SOMAXCONN_WANTED) {
        amy__finding_is(findings,
                        "net.core.somaxconn is %llu: of a burst of "
                        "connections the rest is refused",
                        (unsigned long long)value);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "limits-somaxconn",
                          "sysctl net.core.somaxconn=4096, and a file in "
                          "/etc/sysctl.d");
    }
}

void
amy__judge_overcommit(uint64_t value, struct amy__findings *findings)
{
    if (value != 1) {
        amy__finding_is(findings,
                        "vm.overcommit_memory is %llu: Redis may be "
                        "unable to save when memory is short",
                        (unsigned long long)value);
        amy__finding_tell(findings, AMY_DOCTOR_INFO, "limits-overcommit",
                          "sysctl vm.overcommit_memory=1, and a file in "
                          "/etc/sysctl.d");
    }
}

void
amy__judge_port(const struct amy__port_facts *facts,
                struct amy__findings *findings)
{
    if (facts->program == NULL || strcmp(facts->program, "amy-front") == 0) {
        return; /* whether it is to run is another question */
    }
    if (facts->program[0] == '\0') {
        if (!facts->front_runs) {
            amy__finding_is(findings,
                            "somebody listens on port %u, and who "
                            "could not be seen",
                            facts->port);
            amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "port",
                              "run amyctl doctor as root");
        }
        return;
    }
    amy__finding_is(findings, "%s listens on port %u, where amy-front belongs",
                    facts->program, facts->port);
    amy__finding_tell(findings, AMY_DOCTOR_ERROR, "port",
                      "systemctl disable --now %s; or other ports for one of "
                      "them (`front:` of amy.yaml)",
                      facts->program);
}

void
amy__judge_name(const struct amy__name_facts *facts,
                struct amy__findings *findings)
{
    if (facts->count == 0) {
        amy__finding_is(findings, "%s has no address: %s", facts->name,
                        facts->error == NULL ? "no answer" : facts->error);
        amy__finding_tell(
            findings, facts->is_final ? AMY_DOCTOR_WARNING : AMY_DOCTOR_UNKNOWN,
            "dns-address",
            facts->is_final ? "add an A (and AAAA) record that leads here"
                            : "ask again; look at /etc/resolv.conf");
    } else if (!facts->is_here) {
        amy__finding_is(findings,
                        "%s leads to %s, which is no address of this "
                        "host",
                        facts->name, facts->first);
        amy__finding_tell(
            findings, AMY_DOCTOR_INFO, "dns-elsewhere",
            "right for a CDN, a load balancer, or an address that "
            "is translated on the way");
    }
}

void
amy__judge_daemon(const struct amy__daemon_facts *facts,
                  struct amy__findings *findings)
{
    if (facts->error != NULL) {
        amy__finding_is(findings, "%s could not be asked: %s", facts->name,
                        facts->error);
        amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "socket",
                          "run amyctl doctor as root");
    } else if (!facts->runs && facts->is_wanted) {
        amy__finding_is(findings, "%s does not run", facts->name);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "socket-daemon",
                          "systemctl enable --now %s; journalctl -u %s says "
                          "why it stopped",
                          facts->name, facts->name);
    }
    if (facts->runs && facts->is_replaced) {
        amy__finding_is(findings,
                        "%s runs a program that has been replaced since: the "
                        "upgrade is under way, or was refused",
                        facts->name);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "socket-program",
                          "amyctl status says why; then systemctl kill "
                          "--kill-who=main --signal=USR2 %s",
                          facts->name);
    }
    if (facts->mode != 0 && (facts->mode & 0666U) != 0666U) {
        amy__finding_is(findings, "%s has mode %04o: not everybody may ask %s",
                        facts->path, facts->mode & 07777U, facts->name);
        amy__finding_tell(findings, AMY_DOCTOR_WARNING, "socket-mode",
                          "chmod 0666 %s; it knows who asks by itself",
                          facts->path);
    }
}
