#!/usr/bin/env python3
"""Runs a command on the first of two hosts of this machine that a slow link joins.

    scripts/slow_link.py [--delay MS] [--gbit RATE] [--loss SHARE] [--cut SECONDS] COMMAND...

The hosts are network namespaces of Linux with a name and an address of their own. This program carries the frames of their link:
each arrives MS milliseconds (default 0) after it was sent, not faster than RATE gigabits a second (default: no limit), and a SHARE
of them (default 0) gets lost, and all of them after so many SECONDS (default: never). `mpirun -n 2` of Open MPI in the command starts one rank on each host. It needs root,
/dev/net/tun and iproute2; where they are missing it exits with code 77.
"""
import argparse
import collections
import fcntl
import math
import os
import random
import select
import shlex
import struct
import subprocess
import sys
import tempfile
import time

ADDRESS = "10.123.45."
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME = 9000  # bytes that a packet has at most


def enter(host, command):
    """The command line that runs `command`, a shell command, on host 1 or 2."""
    name = f"tern{host}"
    return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f"hostname {name}; {command}"]


def quietly(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def make_host(host):
    """Makes a namespace with one network device, and returns the device's file."""
    device, name = f"terntap{host}", f"tern{host}"
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
    for command in (f"netns add {name}", f"link set {device} netns {name}", f"-n {name} addr add {ADDRESS}{host}/24 dev {device}",
                    f"-n {name} link set {device} mtu {FRAME} up", f"-n {name} link set lo up"):
        subprocess.run(["ip", *command.split()], check=True)
    return file


def carry(files, delay, rate, loss, cut):
    """Carries frames between the devices for ever, `cut` seconds long."""
    end = time.monotonic() + cut
    waiting = [collections.deque(), collections.deque()]  # frames to device 0 and 1 with the times when they arrive
    free = [0.0, 0.0]  # when the link to the device has sent all of them
    while True:
        due = [queue[0][0] for queue in waiting if queue]
        ready, _, _ = select.select(files, [], [], max(0.0, min(due) - time.monotonic()) if due else None)
        now = time.monotonic()
        for file in ready:
            to = 1 - files.index(file)
            for _ in range(64):
                try:
                    frame = os.read(file, 2 * FRAME)
                except BlockingIOError:
                    break
                if now > end or random.random() < loss:
                    continue
                free[to] = max(free[to], now) + (len(frame) / rate if rate else 0)
                waiting[to].append((free[to] + delay, frame))
        for to, queue in enumerate(waiting):
            while queue and queue[0][0] <= now:
                try:
                    os.write(files[to], queue[0][1])
                except BlockingIOError:
                    break
                queue.popleft()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--gbit", type=float, default=0)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--cut", type=float, default=math.inf)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("a command is needed")
    if not (quietly("ip", "netns", "add", "tern1") and quietly("ip", "netns", "del", "tern1") and os.access("/dev/net/tun", os.W_OK)):
        print("slow_link.py: this machine has no network namespaces, or they exist already, or /dev/net/tun is missing", file=sys.stderr)
        return 77
    random.seed(1)
    carrier = None
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write("".join(f"{ADDRESS}{host} slots=1\n" for host in (1, 2)))
        hosts.flush()
        settings = {"plm_rsh_agent": f"{sys.executable} {os.path.abspath(__file__)} --enter", "orte_default_hostfile": hosts.name,
                    "btl": "tcp,self", "btl_tcp_if_include": ADDRESS + "0/24", "oob_tcp_if_include": ADDRESS + "0/24"}
        environment = os.environ | {f"OMPI_MCA_{name}": value for name, value in settings.items()}
        try:
            files = [make_host(1), make_host(2)]
            carrier = os.fork()
            if carrier == 0:
                carry(files, options.delay / 1e3, options.gbit * 1e9 / 8, options.loss, options.cut)
            return subprocess.run(enter(1, "exec " + shlex.join(options.command)), env=environment).returncode
        finally:
            if carrier:
                os.kill(carrier, 9)
                os.waitpid(carrier, 0)
            for host in (1, 2):
                quietly("ip", "netns", "del", f"tern{host}")


if sys.argv[1:2] == ["--enter"]:  # as mpirun calls it in the place of ssh
    os.execvp("ip", enter(sys.argv[2].removeprefix(ADDRESS), " ".join(sys.argv[3:])))
sys.exit(main())
