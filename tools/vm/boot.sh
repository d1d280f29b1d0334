#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First program of the machine, in the initramfs: builds the root and hands over to the second,
# which stands in the control directory the host gave (init.sh, or systemd with a unit for it).
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
echo "boot: begins"
for m in /modules/*; do
	$b insmod "$m" || echo "boot: cannot load $m"
done
p9=trans=virtio,version=9p2000.L,msize=1048576

# host_over DIR: the host's files, with a layer of memory to write to
host_over() {
	$b mount -t 9p -o $p9,ro,cache=mmap host /lower &&
	$b mount -t tmpfs -o mode=755,size=75% rw /rw &&
	$b mkdir /rw/upper /rw/work &&
	$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work host "$1"
}

read -r line </proc/cmdline
case $line in
*atoll.systemd*)
	$b mount -t ext4 /dev/vdb /root
	$b mkdir -p /root/host
	host_over /root/host
	;;
*)
	host_over /root
	;;
esac &&
	$b mount -t ext4 -o noatime,nobarrier /dev/vda /root/tmp && $b chmod 1777 /root/tmp || { echo "boot: no root"; $b poweroff -f; }
$b mount -t tmpfs -o mode=755 run /root/run
$b mkdir /root/run/vm /root/run/vm-bin /root/run/lock
$b chmod 1777 /root/run/lock
$b mount -t 9p -o $p9,cache=none control /root/run/vm || { echo "boot: no control"; $b poweroff -f; }
$b cp /bin/busybox /root/run/vm-bin/busybox
# Directories of the host the machine's own /tmp and /run hide, and those it may write to.
while read -r what path; do
	$b mkdir -p "/root$path"
	case $what in
	show) $b mount -o bind "/lower$path" "/root$path" ;;
	share*) $b mount -t 9p -o $p9,cache=mmap "$what" "/root$path" ;;
	esac || echo "boot: cannot mount $what $path"
done </root/run/vm/mounts
for d in dev proc sys; do
	$b mount -o move /$d /root/$d
done
case $line in
*atoll.systemd*)
	$b mkdir -p /root/run/systemd/system/multi-user.target.wants
	$b cp /root/run/vm/atoll-vm.service /root/run/systemd/system/
	$b ln -s ../atoll-vm.service /root/run/systemd/system/multi-user.target.wants/
	exec $b switch_root /root /lib/systemd/systemd
	;;
esac
exec $b switch_root /root /run/vm-bin/busybox sh /run/vm/init.sh
