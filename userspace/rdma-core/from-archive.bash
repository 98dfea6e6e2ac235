# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck shell=bash
# Variables come from and go to build-provider, which reads this file.
# shellcheck disable=SC2034,SC2154
#
# build-provider's second way: link the distribution's own static provider
# (librxe-rdmavNN.a in libibverbs-dev) and the rxe-*.c here into a shared one.
# Both static libraries are of libibverbs' version, so the private ABI is the
# right one by construction; where the ops go in it is read from them as well.

# Static libibverbs prefixes its symbols (rdmacore44_0_...) to keep out of the
# way of the shared one, which is the one we want: lines for objcopy that undo it.
prefixed_symbols() { nm --undefined-only "$1" | awk '$NF ~ /^rdmacore[0-9]+_[0-9]+_/ { print $NF }'; }

symbol_renames() { prefixed_symbols "$1" | sed -E 's/^(rdmacore[0-9]+_[0-9]+_)(.*)$/\1\2 \2/'; }

# What comes to rxe-*.c, of what the provider calls: names as the shared library has them.
routed_calls() {
	printf '%s\n' 'verbs_set_ops provider_set_ops' "verbs_register_driver_$nn provider_register"
	[[ -z $data_path ]] || printf '%s\n' 'calloc provider_calloc' 'mmap provider_mmap'
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

# The ops that are added or wrapped.
op_names=(reg_dmabuf_mr create_qp_ex create_cq_ex resize_cq post_send)

# Sets layout, the compiler's options that tell it, from libibverbs' own table of default ops.
read_layout() {
	local default=$1 provider=$2 section size rxe_size op slot
	read -r section size < <(table_of "$default" verbs_dummy_ops)
	read -r _ rxe_size < <(table_of "$provider" rxe_ctx_ops)
	# Not found, ambiguous, or the two do not speak of the same table: no.
	[[ -n $section && $size == "$rxe_size" ]] || return 1
	layout=("-DOPS_SIZE=0x$size")
	for op in "${op_names[@]}"; do
		slot=$(slot_of "$default" "$section" "$op")
		[[ -n $slot && $slot != *$'\n'* ]] || return 1
		layout+=("-DSLOT_${op^^}=0x$slot")
	done
}

# The folder with the headers that belong to the library: of its own prefix.
headers_of() {
	local dir
	dir=$(dirname "$1")
	while [[ $dir != / ]]; do
		dir=$(dirname "$dir")
		[[ -e $dir/include/infiniband/verbs.h ]] || continue
		printf '%s\n' "$dir/include"
		return
	done
}

# Where the static libraries are; sets a_provider, a_verbs and headers, or unusable.
find_static_libraries() {
	local libdir dev
	libdir=$(dirname "$lib")
	if [[ -z $foreign ]]; then
		# The version is named lest apt upgrades the library to fit another one.
		need "/usr/include/infiniband/verbs.h:libibverbs-dev=$version"
		dev=$(dpkg-query -W -f '${Version}' libibverbs-dev)
		if [[ $dev != "$version" ]]; then
			cannot "libibverbs-dev is $dev, $package is $version: its static provider does not fit" \
				"Bring both to the same version (apt-get install libibverbs-dev $package)."
			return
		fi
	fi
	a_provider=$libdir/librxe-rdmav$nn.a
	a_verbs=$libdir/libibverbs.a
	headers=$(headers_of "$lib")
	if [[ ! -r $a_provider || ! -r $a_verbs || -z $headers ]]; then
		cannot "there is no static provider that goes with $lib" \
			"Looked for $a_provider, $a_verbs, and include/infiniband/verbs.h above them."
	fi
}

# Of this very release, going by the names of symbols in it.
static_library_fits() {
	local symbols prefix
	prefix=rdmacore${upstream//./_}_
	symbols=$(prefixed_symbols "$1")
	[[ $symbols == "$prefix"* ]] && return
	cannot "$a_provider is not of rdma-core $upstream, of which $lib is"
	return 1
}

# compile SOURCE OBJECT: against the library's own headers.
compile() {
	local options=()
	[[ -z $data_path ]] || options+=(-DWITH_DATA_PATH)
	! grep -q 'wr_flush)' "$headers/infiniband/verbs.h" || options+=(-DHAVE_WR_FLUSH)
	run "compiling ${1##*/}" gcc -O2 -g -Wall -Wextra -fPIC -I "$headers" "${layout[@]}" \
		"${options[@]}" -c "$here/$1" -o "$2"
}

# The fixes of the data path; without them, if they do not know this libibverbs.
compile_data_path() {
	data_path=$work/archive/data-path.o
	if compile rxe-data-path.c "$data_path"; then
		fixes=("${all_fixes[@]}")
		return
	fi
	say "the fixes of the data path do not know this libibverbs (the log of the compiler says why)"
	cp "$log" "$cache/failed.log"
	data_path=''
	missing=("${all_fixes[@]}")
}

# Sets unusable when the provider does not make one of the calls that are to come here.
route_calls() {
	local dir=$1 symbols from to
	symbol_renames "$dir/rxe.o" >"$dir/renames"
	objcopy --redefine-syms="$dir/renames" "$dir/rxe.o" "$dir/plain.o"
	routed_calls >"$dir/routes"
	objcopy --redefine-syms="$dir/routes" "$dir/plain.o" "$dir/provider.o"
	symbols=$(nm --undefined-only "$dir/provider.o")
	while read -r from to; do
		[[ $symbols$'\n' == *" $to"$'\n'* ]] || cannot "the static provider $a_provider does not call $from"
	done <"$dir/routes"
}

build_from_archive() {
	local dir=$work/archive a_provider a_verbs headers layout data_path=''
	need gcc:gcc /usr/include/stdio.h:libc6-dev readelf:binutils
	nn=$(private_abi "$lib")
	find_static_libraries
	[[ -z $unusable ]] || return 0

	say "linking the static provider $a_provider with the op"
	mkdir "$dir"
	ar p "$a_provider" rxe.c.o >"$dir/rxe.o"
	ar p "$a_verbs" dummy_ops.c.o >"$dir/dummy_ops.o"
	static_library_fits "$dir/rxe.o" || return 0
	if ! read_layout "$dir/dummy_ops.o" "$dir/rxe.o"; then
		cannot "the layout of libibverbs' ops could not be read from $a_verbs"
		return
	fi
	compile_data_path
	compile rxe-dmabuf-op.c "$dir/op.o" || explain "compiling the op"
	route_calls "$dir"
	[[ -z $unusable ]] || return 0
	link_provider "$dir/provider.o" "$dir/op.o" ${data_path:+"$data_path"}
	origin="the static provider $a_provider"
}
