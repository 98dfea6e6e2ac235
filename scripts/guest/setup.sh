# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Runs in the guest, as root, before the command: the network, soft-RoCE and
# the devices. The host sends it over the control port, so it needs no file of
# the guest; it sees the same PEERBAR_* variables as the command.
# shellcheck shell=sh disable=SC2148

put() {
	echo "$1" >"$2" || {
		echo "setup: cannot write '$1' to $2"
		return 1
	}
}

# One ip process for everything: starting a program over 9p is what costs. The order is that of rxe0's GIDs: index 0 is
# the link-local one, 1 the IPv4 address, 2 the IPv6 address. The kernel may be one without IPv6, by its command line.
network() {
	if [ -n "${PEERBAR_ADDR6:-}" ]; then
		# no waiting for duplicate address detection: the GIDs are there at once
		for conf in /proc/sys/net/ipv6/conf/*; do
			put 0 "$conf/accept_dad"
		done
	fi
	{
		echo "link set lo up"
		# alone, a host needs no wire: rxe talks to itself over a dummy link
		[ "$PEERBAR_HOSTS" -gt 1 ] || echo "link add eth0 address $1 type dummy"
		echo "link set eth0 mtu 9000 up"
		echo "addr add $PEERBAR_ADDR/24 dev eth0"
		[ -z "${PEERBAR_ADDR6:-}" ] || echo "addr add $PEERBAR_ADDR6/64 dev eth0"
	} | ip -batch -
	rdma link add rxe0 type rxe netdev eth0
}

bind_vfio() {
	dev=/sys/bus/pci/devices/$1
	put vfio-pci "$dev/driver_override"
	[ ! -e "$dev/driver" ] || put "$1" "$dev/driver/unbind"
	put "$1" /sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$dev/driver")")" = vfio-pci ] || {
		echo "setup: $1 did not bind to vfio-pci"
		return 1
	}
}

put "peerbar-host$PEERBAR_HOST" /proc/sys/kernel/hostname
for address in $PEERBAR_VFIO; do
	bind_vfio "$address"
done
# after that: a NIC that the kernel has a driver for was eth0 until now
network "52:54:00:70:62:0$((PEERBAR_HOST + 1))"
