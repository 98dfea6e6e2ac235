# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck shell=bash
# Variables come from and go to build-provider, which reads this file.
# shellcheck disable=SC2034,SC2154
#
# build-provider's second way: link the distribution's own static provider
# (librxe-rdmavNN.a in libibverbs-dev) and rxe-dmabuf-op.c into a shared one.
# Both static libraries are of the installed version, so the private ABI is the
# right one by construction; where the op goes in it is read from them as well.

# Static libibverbs prefixes its symbols (rdmacore44_0_...) to keep out of the
# way of the shared one, which is the one we want: lines for objcopy that undo
# it, except for verbs_set_ops, which rxe-dmabuf-op.c takes over.
symbol_renames() {
	nm --undefined-only "$1" | awk '{ print $NF }' |
		sed -nE 's/^(rdmacore[0-9]+_[0-9]+_)(.*)$/\1\2 \2/p' |
		sed 's/ verbs_set_ops$/ provider_set_ops/'
}

# table_of OBJECT SYMBOL: "section size" of a table that starts its section.
table_of() {
	objdump -t "$1" | awk -v want="$2" '$NF ~ want "$" && $(NF-1) !~ /^0*$/ { print $(NF-2), $(NF-1) }'
}

# slot_of OBJECT SECTION FUNCTION: offsets in the section that point to it.
slot_of() {
	local place
	place=$(objdump -t "$1" | awk -v f="$3" '$NF == f { print $(NF-2) "+0x" $1; print $(NF-2) }')
	objdump -r -j "$2" "$1" | awk -v f="$3" -v place="$place" '
		BEGIN { split(place, p, "\n") }
		# An addend of zero is left out.
		$3 == p[1] || $3 == f || ($3 == p[2] && p[1] ~ /\+0x0*$/) { print $1 }'
}

# Sets ops_size and ops_slot from libibverbs' own table of default ops.
read_layout() {
	local default=$1 provider=$2 section rxe_size
	read -r section ops_size < <(table_of "$default" verbs_dummy_ops)
	ops_slot=$(slot_of "$default" "${section:-none}" reg_dmabuf_mr)
	read -r _ rxe_size < <(table_of "$provider" rxe_ctx_ops)
	# Not found, ambiguous, or the two do not speak of the same table: no.
	[[ -n $section && -n $ops_slot && $ops_slot != *$'\n'* && $ops_size == "$rxe_size" ]]
}

build_from_archive() {
	local libdir dev a_provider a_verbs dir=$work/archive
	# The version is named lest apt upgrades the library to fit another one.
	need gcc:gcc /usr/include/stdio.h:libc6-dev readelf:binutils \
		"/usr/include/infiniband/verbs.h:libibverbs-dev=$version"
	libdir=$(dirname "$(readlink -f "$lib")")
	nn=$(private_abi "$lib")
	dev=$(dpkg-query -W -f '${Version}' libibverbs-dev)
	if [[ $dev != "$version" ]]; then
		cannot "libibverbs-dev is $dev, $package is $version: its static provider does not fit" \
			"Bring both to the same version (apt-get install libibverbs-dev $package)."
		return
	fi
	a_provider=$libdir/librxe-rdmav$nn.a
	a_verbs=$libdir/libibverbs.a
	if [[ ! -r $a_provider || ! -r $a_verbs ]]; then
		cannot "this libibverbs-dev has no static provider ($a_provider, $a_verbs)"
		return
	fi

	say "linking the static provider of libibverbs-dev $dev with the op"
	mkdir "$dir"
	ar p "$a_provider" rxe.c.o >"$dir/rxe.o"
	ar p "$a_verbs" dummy_ops.c.o >"$dir/dummy_ops.o"
	if ! read_layout "$dir/dummy_ops.o" "$dir/rxe.o"; then
		cannot "the layout of libibverbs' ops could not be read from $a_verbs"
		return
	fi
	symbol_renames "$dir/rxe.o" >"$dir/renames"
	objcopy --redefine-syms="$dir/renames" "$dir/rxe.o" "$dir/provider.o"

	printf '{ local: *; };\n' >"$dir/version-script"
	run "compiling the op" gcc -O2 -g -Wall -Wextra -fPIC -DOPS_SIZE="0x$ops_size" \
		-DOPS_SLOT="0x$ops_slot" -c "$here/rxe-dmabuf-op.c" -o "$dir/op.o" || explain "compiling the op"
	so=$dir/librxe-rdmav$nn.so
	run "linking the provider" gcc -shared -o "$so" "$dir/provider.o" "$dir/op.o" \
		-Wl,--version-script="$dir/version-script" -Wl,-z,defs -Wl,-z,text -Wl,-z,relro,-z,now \
		"$lib" -lpthread || explain "linking the provider"
	origin="the static provider of libibverbs-dev $dev"
}
