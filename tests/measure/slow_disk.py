"""A disk that writes no faster than it is told, to start a server on."""

import contextlib
import os
import shutil
import subprocess
import tempfile

LIMIT = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"
# A snapshot is made durable each time that so much more of it is written.
SYNC_EVERY = 4 << 20


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def limit(device, rate):
    """Nothing writes to this block device faster; 0: as fast as it is."""
    with open(f"/sys/block/{os.path.basename(device)}/dev") as number:
        line = f"{number.read().strip()} {rate}"
    with open(LIMIT, "w") as limits:
        limits.write(line)


def looped(undo, rate, size):
    """A file system of a file in memory, behind a loop device with a limit. The limit is set in the root
    cgroup, for this device alone: what the kernel writes back by itself is held up as well."""
    if not os.access(LIMIT, os.W_OK):
        raise OSError(f"{LIMIT} cannot be written")
    folder = tempfile.mkdtemp(prefix="slow-")
    undo.callback(shutil.rmtree, folder)
    image = tempfile.NamedTemporaryFile(prefix="slow-", dir="/dev/shm")
    undo.enter_context(image)
    image.truncate(size)
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image.name)
    device = run("losetup", "--find", "--show", image.name)
    undo.callback(run, "losetup", "--detach", device)
    run("mount", device, folder)
    undo.callback(run, "umount", folder)
    limit(device, rate)
    undo.callback(limit, device, 0)
    return folder


def traced(undo, rate):
    """A folder, and a tracer that holds up each fdatasync by as long as what is written between two takes."""
    if not shutil.which("strace"):
        raise OSError("strace is missing")
    folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="slow-"))
    delay = f"inject=fdatasync:delay_enter={SYNC_EVERY * 1_000_000 // rate}"
    return folder, ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", delay]


@contextlib.contextmanager
def slow_disk(rate, size):
    """A folder on a disk that takes so many bytes a second and holds `size`; what has to stand before the
    command of a server there; and by what the disk is slow."""
    with contextlib.ExitStack() as undo:
        try:
            found = looped(undo, rate, size), [], "a loop device with a limit"
        except OSError as error:
            undo.close()
            found = *traced(undo, rate), f"strace, since there is no loop device with a limit ({error})"
        yield found
