"""Machines with a real systemd as their first process, without a virtual machine: a Debian of their own in namespaces.

Debian comes from its archive once (`debian`) and lies below all machines unchanged; each writes a layer of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from paddock.playground.cgroup import Cgroup
from waiting import until

CACHE = Path("/var/cache/paddock/machines")
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "iptables", "nftables", "ca-certificates", "curl", "procps",
    "apparmor",
)  # fmt: skip
GUIDES = ("docker.io", "pipx")
"""What the guide has one install."""
MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "kmod-static-nodes.service", "systemd-remount-fs.service",
    "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "sys-fs-fuse-connections.mount", "console-getty.service", "getty.target", "systemd-timesyncd.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
)  # fmt: skip
"""What would reach out of the namespaces into the kernel, or do work nobody asked for here."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAKE_WITHIN_S = 400.0
BOOT_WITHIN_S = 60.0
COMMAND_WITHIN_S = 120.0

BOOT = """
set -eu
(
mount -t proc proc /proc
mount -t overlay -o "lowerdir=$BASE,upperdir=$FOLDER/upper,workdir=$FOLDER/work" machine "$FOLDER/root"
cd "$FOLDER/root"
mkdir -p var/lib/docker
mount --bind "$FOLDER/docker" var/lib/docker
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm dev/net
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0" "net/tun 10 200"; do
    set -- $node
    mknod -m 666 "dev/$1" c "$2" "$3"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
: >dev/console
mount --bind "$FOLDER/console" dev/console
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
if [ -z "$CGROUPS" ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    for kind in $CGROUPS; do
        folder=sys/fs/cgroup/${kind#name=}
        mkdir "$folder"
        mount -t cgroup -o "$kind" cgroup "$folder"
    done
fi
hostname "$NAME"
ip link set lo up
pivot_root . mnt
umount -l /mnt
cd /
exec env -i container=docker "PATH=$PATH" /lib/systemd/systemd >/dev/console 2>&1 </dev/null
) &
echo $!
"""


def missing() -> str:
    """Why this computer cannot have such machines; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not shutil.which("mmdebstrap"):
        return "needs mmdebstrap"
    return "" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "the kernel has no overlay"


def debian() -> Path:
    """The folder of a Debian 12 with what the guide asks for. Made once."""
    name = hashlib.sha256(repr((PACKAGES, GUIDES, MASKED)).encode()).hexdigest()[:16]
    folder = CACHE / f"debian-{name}"
    if folder.is_dir():
        return folder
    draft = CACHE / f".debian-{name}"
    shutil.rmtree(draft, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = ",".join(PACKAGES + GUIDES)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={wanted}", "bookworm", str(draft)]
    subprocess.run(command, check=True, timeout=MAKE_WITHIN_S, capture_output=True)
    (draft / "etc" / "machine-id").write_text("")
    for unit in MASKED:
        (draft / "etc" / "systemd" / "system" / unit).symlink_to("/dev/null")
    draft.rename(folder)
    return folder


class Cable:
    """A network of its own that leads nowhere, with a bridge."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make(self) -> None:
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "add", "lan", "type", "bridge", "forward_delay", "0")
        run("ip", "-n", self.name, "link", "set", "lan", "up")

    def remove(self) -> None:
        run("ip", "netns", "delete", self.name)

    def plug(self, host: str, pid: int, address: str) -> None:
        run("ip", "-n", self.name, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "-n", self.name, "link", "set", host, "master", "lan", "up")
        run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "addr", "add", f"{address}/24", "dev", "eth0")
        run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "set", "eth0", "up")


class Machine:
    """`do` runs a line of shell on it as root, as after a login."""

    def __init__(self, name: str, address: str, folder: Path, cable: Cable) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.cable = cable
        self.cgroup = Cgroup(f"{cable.name}-{name}")
        self.pid = 0

    def start(self, base: Path) -> None:
        """Power on; returns when systemd has done what belongs to a boot."""
        for part in ("upper", "work", "root", "docker"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "console").touch()
        (self.folder / "upper" / "etc").mkdir(exist_ok=True)
        (self.folder / "upper" / "etc" / "hostname").write_text(f"{self.name}\n")
        self.cgroup.make()
        _fill_cpuset(self.cgroup)
        variables = {
            "BASE": str(base), "FOLDER": str(self.folder), "NAME": self.name, "PATH": PATH,
            "CGROUPS": " ".join(_version_1()), "JOIN": " ".join(_files(self.cgroup)),
        }  # fmt: skip
        join = 'for file in $JOIN; do echo $$ >"$file"; done; exec "$@"'
        unshare = ("unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--propagation=private")
        command = ["sh", "-euc", join, "sh", *unshare, "sh", "-c", BOOT]
        with (self.folder / "boot.log").open("ab") as log:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables, timeout=60, check=True,
                start_new_session=True,
            )  # fmt: skip
        self.pid = int(done.stdout)
        self.cable.plug(self.name, self.pid, self.address)
        until(lambda: self.booted() or not self.alive(), f"{self.name} boots, see {self.folder}", BOOT_WITHIN_S)
        assert self.alive(), f"{self.name}: systemd ended at once; is fs.inotify.max_user_instances used up?"

    def copy(self, other: Machine) -> None:
        """Becomes what the other is, but for what every machine has of its own. Before the first start."""
        self.folder.mkdir()
        run("cp", "-a", str(other.folder / "upper"), str(self.folder / "upper"))
        (self.folder / "upper" / "etc" / "machine-id").write_text("")
        shutil.rmtree(self.folder / "upper" / "var" / "log", ignore_errors=True)

    def alive(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()

    def booted(self) -> bool:
        return self.state() in ("running", "degraded")

    def state(self) -> str:
        return self.run("systemctl is-system-running").stdout.strip()

    def kill(self) -> None:
        """Power failure: everything within is gone when this returns."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            until(lambda: not self.alive(), f"{self.name} is off")
            self.pid = 0
        self.cgroup.kill()

    def reboot(self, base: Path) -> None:
        """In order: every program is asked to end first."""
        self.run("systemctl reboot")
        until(lambda: not self.alive(), f"{self.name} goes down", BOOT_WITHIN_S)
        self.pid = 0
        self.start(base)

    def remove(self) -> None:
        self.kill()
        self.cgroup.remove()

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self.pid}", "--all", "--wdns=/root"]
        login = ["env", "-i", "HOME=/root", "TERM=dumb", "LANG=C.UTF-8", f"PATH={PATH}", "bash", "-lc", text]
        return subprocess.run(
            [*enter, *login], capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def do(self, text: str) -> str:
        done = self.run(text)
        assert done.returncode == 0, f"{self.name}: {text}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def path(self, inside: str) -> Path:
        """Where a file of the machine is on this one, while it has power."""
        return Path(f"/proc/{self.pid}/root{inside}")


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _version_1() -> Sequence[str]:
    """Hierarchies of cgroup version 1, by what mounts them; none where version 2 is all there is."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return [line.split(":")[1] for line in lines if line.split(":")[1]]


def _files(cgroup: Cgroup) -> Sequence[str]:
    return [str(path) for path in sorted(Path("/sys/fs/cgroup").glob(f"**/{cgroup.path}/cgroup.procs"))]


def _fill_cpuset(cgroup: Cgroup) -> None:
    """One of version 1 starts empty, and refuses processes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        for file in Path("/sys/fs/cgroup").glob(f"cpuset*/{cgroup.path}/{name}"):
            file.write_text((file.parent.parent / name).read_text())
