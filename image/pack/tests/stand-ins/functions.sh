# A STAND-IN for OpenWrt's /lib/functions.sh: the few functions our scripts call, over a simple parser of UCI files
# (one option a line, values in single quotes without quotes inside). It exists for tests on machines without OpenWrt.

config_load() {
	local word name value item section=''
	while read -r word name value; do
		value=${value#\'}
		value=${value%\'}
		case "$word" in
		config) section=${value} ;;
		option) eval "CONFIG_${section}_$name=\$value" ;;
		list)
			eval "CONFIG_${section}_$name=\${CONFIG_${section}_$name:+\$CONFIG_${section}_$name }\$value"
			eval "CONFIG_${section}_${name}_LENGTH=\$((\${CONFIG_${section}_${name}_LENGTH:-0} + 1))"
			eval "item=CONFIG_${section}_${name}_ITEM\$CONFIG_${section}_${name}_LENGTH"
			eval "$item=\$value"
			;;
		esac
	done <"${UCI_CONFIG_DIR:-/etc/config}/$1"
}

config_get() {
	eval "$1=\"\${CONFIG_${2}_$3:-\${4:-}}\""
}

config_list_foreach() {
	local section=$1 list=$2 function=$3 at=1 length item
	eval "length=\${CONFIG_${section}_${list}_LENGTH:-0}"
	while [ "$at" -le "$length" ]; do
		eval "item=\$CONFIG_${section}_${list}_ITEM$at"
		"$function" "$item"
		at=$((at + 1))
	done
}
