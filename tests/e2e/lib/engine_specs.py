# SPDX-License-Identifier: Apache-2.0
"""
config.json as engines write them for `ENGINE run --tty=false busybox`, with what their defaults
and commonest flags put into it: Docker 28, containerd 1.7 (ctr and CRI), Podman 5.
"""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
        "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
          "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
          "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
DEVICES_OF_CONTAINERS = [
    {"allow": False, "access": "rwm"},
    *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
      for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
    {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
]
SECCOMP = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
           "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
           "syscalls": [{"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}]}


def mount(destination, kind, source, *options):
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def docker():
    """dockerd: --pids-limit 100 --memory 256m --init=false --user by uid, a bridge network."""
    return {
        "ociVersion": "1.2.1",
        "process": {
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10]},
            "args": ["sh"], "env": [PATH, "HOSTNAME=4f2c", "HOME=/root"], "cwd": "/",
            "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
            "oomScoreAdj": 0,
        },
        "root": {"path": "/var/lib/docker/overlay2/x/merged"},
        "hostname": "4f2c",
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
                  "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777",
                  "size=67108864"),
            mount("/run/x", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "size=64m",
                  "mode=1770"),
            *(mount(f"/etc/{name}", "bind", f"/var/lib/docker/containers/x/{name}", "rbind",
                    "rprivate") for name in ("resolv.conf", "hostname", "hosts")),
        ],
        "hooks": {"prestart": [{"path": "/proc/1/exe", "args": ["libnetwork-setkey"]}]},
        "linux": {
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0",
                       "net.ipv4.ping_group_range": "0 2147483647"},
            "resources": {"devices": DEVICES_OF_CONTAINERS,
                          "memory": {"limit": 268435456, "swap": 536870912},
                          "cpu": {"shares": 0}, "pids": {"limit": 100}, "blockIO": {"weight": 0}},
            "cgroupsPath": "system.slice:docker:x",
            "namespaces": [{"type": t} for t in ("mount", "network", "uts", "pid", "ipc",
                                                 "cgroup")],
            "seccomp": SECCOMP, "maskedPaths": MASKED, "readonlyPaths": READONLY,
        },
    }


def containerd():
    """ctr run, with what CRI adds for a container of a pod."""
    return {
        "ociVersion": "1.1.0",
        "process": {
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 1, 2, 3, 4, 6, 10, 11, 20, 26, 27]},
            "args": ["sh"], "env": [PATH], "cwd": "/",
            "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True, "oomScoreAdj": 1000,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
                  "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777",
                  "size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            mount("/run", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime",
                  "ro"),
            mount("/etc/hosts", "bind", "/var/lib/kubelet/pods/x/etc-hosts", "rbind", "rprivate",
                  "rw"),
        ],
        "linux": {
            "resources": {"devices": DEVICES_OF_CONTAINERS,
                          "memory": {"limit": 134217728},
                          "cpu": {"shares": 102, "quota": 100000, "period": 100000},
                          "unified": {"memory.oom.group": "1"}},
            "cgroupsPath": "/default/x", "seccomp": SECCOMP,
            "namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount", "network",
                                                 "cgroup")],
            "maskedPaths": MASKED, "readonlyPaths": READONLY,
        },
        "annotations": {"io.kubernetes.cri.container-type": "container"},
    }


def podman():
    """podman run --tmpfs /opt --umask, as root."""
    return {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1, 2, 3]},
            "args": ["sh"], "cwd": "/",
            "env": [PATH, "container=podman", "TERM=xterm", "HOME=/root", "HOSTNAME=3d1f"],
            "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576},
                        {"type": "RLIMIT_NPROC", "hard": 4194304, "soft": 4194304}],
        },
        "root": {"path": "/var/lib/containers/storage/overlay/x/merged"},
        "hostname": "3d1f",
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755",
                  "size=65536k"),
            mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
                  "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            mount("/opt", "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup"),
            mount("/etc/hosts", "bind", "/run/containers/storage/x/hosts", "bind", "rprivate"),
            mount("/dev/shm", "bind", "/var/lib/containers/storage/x/shm", "bind", "rprivate",
                  "nosuid", "noexec", "nodev"),
            mount("/run/.containerenv", "bind", "/run/containers/storage/x/.containerenv", "bind",
                  "rprivate"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "rprivate", "nosuid", "noexec", "nodev",
                  "relatime", "ro"),
        ],
        "annotations": {"io.container.manager": "libpod", "org.opencontainers.image.stopSignal":
                        "15", "run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup"},
        "linux": {
            "sysctl": {"net.ipv4.ping_group_range": "0 0"},
            "resources": {"devices": [{"allow": False, "access": "rwm"}],
                          "pids": {"limit": 2048}},
            "cgroupsPath": "machine.slice:libpod:x",
            "namespaces": [*({"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")),
                           {"type": "network", "path": "/run/netns/netns-x"}],
            "rootfsPropagation": "slave",
            "seccomp": SECCOMP, "maskedPaths": MASKED, "readonlyPaths": READONLY,
        },
    }


ENGINES = {"docker": docker, "containerd": containerd, "podman": podman}
