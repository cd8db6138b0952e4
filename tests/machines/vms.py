"""Virtual machines of Debian 12 with its own kernel and systemd, on a network of their own that leads nowhere."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from waiting import until

CACHE = Path("/var/cache/paddock/machines")
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "linux-image-amd64", "initramfs-tools", "openssh-server", "iproute2",
    "iputils-ping", "curl", "ca-certificates", "procps", "nftables",
)  # fmt: skip
GUIDES = ("docker.io", "pipx")
"""What the guide has one install."""
DISK = "4G"
RECIPE = 1
"""Counts what `image` does otherwise than before."""
MEMORY_MIB = 1024
BOOT_WITHIN_S = 300.0
COMMAND_WITHIN_S = 240.0
NAMESPACE = "paddock-vms"
BRIDGE = "192.0.2.1"
KEY = "key"


def run(argv: Sequence[str], within_s: float = COMMAND_WITHIN_S) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def image() -> Path:
    """A folder with `vmlinuz`, `initrd`, `disk.ext4` and the `key` that opens it; made once."""
    name = hashlib.sha256(repr((PACKAGES, GUIDES, DISK, RECIPE)).encode()).hexdigest()[:16]
    folder = CACHE / name
    if folder.is_dir():
        return folder
    draft = CACHE / f".{name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    root = draft / "root"
    run(["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES + GUIDES)}", "bookworm", str(root)], 900)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(draft / KEY)])
    (root / "root" / ".ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(draft / f"{KEY}.pub", root / "root" / ".ssh" / "authorized_keys")
    (root / "etc" / "machine-id").write_text("")
    (root / "etc" / "fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (root / "etc" / "systemd" / "network" / "eth0.network").write_text("[Match]\nName=eth0\n")
    run(["chroot", str(root), "systemctl", "enable", "systemd-networkd", "systemd-network-generator"])
    for name_in, name_out in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")):
        (newest,) = sorted((root / "boot").glob(f"{name_in}-*"))
        shutil.copy(newest, draft / name_out)
    run(["mkfs.ext4", "-q", "-d", str(root), str(draft / "disk.ext4"), DISK])
    shutil.rmtree(root)
    draft.rename(folder)
    return folder


class Machine:
    """`do` runs a line of shell on it as root."""

    def __init__(self, name: str, address: str, folder: Path, base: Path) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self.base = base
        self.disk = folder / "disk.qcow2"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base / "disk.ext4"), str(self.disk)])

    def start(self) -> None:
        tap = f"tap-{self.name}"
        mac = f"52:54:00:00:00:{int(self.address.rpartition('.')[2]):02x}"
        words = f"root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.hostname={self.name}"
        words += f" ip={self.address}::{BRIDGE}:255.255.255.0::eth0:off"
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", NAMESPACE, "qemu-system-x86_64", *processor(), "-nographic",
             "-m", str(MEMORY_MIB), "-kernel", str(self.base / "vmlinuz"),
             "-initrd", str(self.base / "initrd"), "-append", words,
             "-drive", f"file={self.disk},if=virtio,cache=unsafe", "-device", "virtio-rng-pci",
             "-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no",
             "-device", f"virtio-net-pci,netdev=n,mac={mac}",
             "-serial", f"file:{self.folder / 'console'}", "-monitor", "none"],
            stdin=subprocess.DEVNULL, stdout=(self.folder / "qemu").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.wait()

    def wait(self, before: str = "") -> None:
        """Until systemd has started what it starts; `before` is the boot that is over."""

        def booted() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "qemu").read_text()
            done = self.try_to("cat /proc/sys/kernel/random/boot_id; systemctl is-system-running", 20)
            return before != done.stdout.partition("\n")[0] != "" and done.stdout.split()[-1] in ("running", "degraded")

        until(booted, f"{self.name} has booted", BOOT_WITHIN_S)

    def reboot(self) -> None:
        before = self.do("cat /proc/sys/kernel/random/boot_id").strip()
        self.try_to("systemctl reboot")
        self.wait(before)

    def lose_power(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)

    def try_to(self, command: str, within_s: float = COMMAND_WITHIN_S) -> subprocess.CompletedProcess[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
        argv = ["ip", "netns", "exec", NAMESPACE, "ssh", "-i", str(self.base / KEY)]
        argv += [word for option in options for word in ("-o", option)]
        return subprocess.run(
            [*argv, f"root@{self.address}", command], capture_output=True, text=True, timeout=within_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def do(self, command: str, within_s: float = COMMAND_WITHIN_S) -> str:
        """What it printed. A login's own variables are there, as for somebody who sits at it."""
        done = self.try_to(f"bash -lec {shlex.quote(command)}", within_s)
        assert done.returncode == 0, f"{self.name}: {command}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
        return done.stdout

    def put(self, source: Path, target: str) -> None:
        """A folder's content."""
        pack = subprocess.Popen(["tar", "-C", str(source), "-cf", "-", "."], stdout=subprocess.PIPE)
        argv = ["ip", "netns", "exec", NAMESPACE, "ssh", "-i", str(self.base / KEY), "-o", "StrictHostKeyChecking=no"]
        argv += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"root@{self.address}"]
        subprocess.run(
            [*argv, f"mkdir -p {target} && tar -C {target} -xf -"], stdin=pack.stdout, check=True, timeout=240
        )
        assert pack.wait(10) == 0


@contextlib.contextmanager
def machines(addresses: dict[str, str], folder: Path) -> Iterator[dict[str, Machine]]:
    """Booted; gone at the end, with their network."""
    base = image()
    made: dict[str, Machine] = {}
    run(["ip", "netns", "add", NAMESPACE])
    try:
        inside = ["ip", "-n", NAMESPACE]
        run([*inside, "link", "set", "lo", "up"])
        run([*inside, "link", "add", "br0", "type", "bridge"])
        run([*inside, "address", "add", f"{BRIDGE}/24", "dev", "br0"])
        run([*inside, "link", "set", "br0", "up"])
        for name, address in addresses.items():
            run([*inside, "tuntap", "add", f"tap-{name}", "mode", "tap"])
            run([*inside, "link", "set", f"tap-{name}", "master", "br0", "up"])
            made[name] = Machine(name, address, folder / name, base)
        for machine in made.values():
            machine.start()
        yield made
    finally:
        for machine in made.values():
            machine.lose_power()
        run(["ip", "netns", "delete", NAMESPACE])


def processor() -> tuple[str, ...]:
    """The machine's own where it can be lent, else an emulated one: several times slower, and as good."""
    lent = any(Path("/sys/module", name).exists() for name in ("kvm_intel", "kvm_amd")) and Path("/dev/kvm").exists()
    return ("-accel", "kvm", "-cpu", "host", "-smp", "2") if lent else ("-accel", "tcg", "-cpu", "max")


def possible() -> str:
    """Why not, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        name for name in ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "ssh", "mkfs.ext4") if not shutil.which(name)
    ]
    return f"needs {', '.join(missing)}" if missing else ""
