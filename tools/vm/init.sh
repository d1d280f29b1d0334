#!/run/vm-bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Second program of the machine: process 1 of one without systemd, a unit of one with it. Makes what
# an init makes, runs the command in `run`, leaves its exit status, and ends the machine.
b=/run/vm-bin/busybox
. /run/vm/settings
if [ $$ = 1 ]; then
	$b mkdir -p /dev/pts /dev/shm /dev/mqueue
	$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
	$b mount -t tmpfs -o mode=1777 shm /dev/shm
	$b mount -t mqueue mqueue /dev/mqueue
	for l in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
		[ -e "/dev/${l%:*}" ] || $b ln -s "/proc/self/${l#*:}" "/dev/${l%:*}"
	done
	$b mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
	for c in $($b cat /sys/fs/cgroup/cgroup.controllers); do
		echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control
	done
	$b mount --make-rshared /
	$b hostname atoll-vm
	$b ip link set lo up
	# As on a host with systemd: many files, but not by default.
	ulimit -Hn 524288
	ulimit -Sn 1024
fi
if [ -n "$modules" ] && [ -d "$modules" ]; then
	# Beside those of the host's kernels, of which machines in this machine may have one.
	release=$($b uname -r)
	$b mkdir -p "/lib/modules/$release"
	$b mount -o bind "$modules/$release" "/lib/modules/$release"
fi
cd "$directory" || cd /
if [ "$terminal" = yes ]; then
	: >/run/vm/ready
	$b setsid -c /bin/sh /run/vm/run </dev/hvc0 >/dev/hvc0 2>&1
else
	$b stty raw -echo </dev/hvc0
	: >/run/vm/ready
	$b setsid /bin/sh /run/vm/run </dev/null >/dev/hvc0 2>&1 &
	wait $!
fi
echo $? >/run/vm/status.part
$b mv /run/vm/status.part /run/vm/status
$b sync
$b poweroff -f
