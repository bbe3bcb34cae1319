# A STAND-IN for OpenWrt's /etc/rc.common and procd.sh: notes what a script would tell procd, a line each, and takes
# $VALID for the result of every validation. It exists for tests on machines without OpenWrt.
. "$FUNCTIONS"

uci_load_validate() {
	local section="$3" callback="$4" rule name
	shift 4
	for rule in "$@"; do
		name=${rule%%:*}
		eval "local $name"
		config_get "$name" "$section" "$name"
	done
	[ -z "$callback" ] || "$callback" "$section" "${VALID:-0}"
}

for name in procd_open_instance procd_close_instance procd_set_param procd_append_param procd_add_jail \
	procd_add_reload_trigger procd_add_reload_interface_trigger procd_add_validation; do
	eval "$name() { echo \"$name\" \"\$*\"; }"
done
