#!/bin/sh
# busybox's DHCP client calls this: $1 is what happened, the lease is in variables (ip is the address).
# shellcheck disable=SC2154
run() { /bin/busybox "$@"; }

case "$1" in
deconfig)
	run ip addr flush dev "$interface" scope global
	run rm -f /run/address /run/gateway /run/ntp
	;;
bound | renew)
	run ip addr replace "$ip/${mask:-24}" dev "$interface"
	for gateway in ${router:-}; do
		run ip route replace default via "$gateway" dev "$interface"
		break
	done
	echo "${router:-}" >/run/gateway
	echo "${ntpsrv:-}" >/run/ntp
	for server in ${dns:-}; do echo "nameserver $server"; done >/run/resolv.conf
	echo "$ip" >/run/address
	;;
esac
exit 0
