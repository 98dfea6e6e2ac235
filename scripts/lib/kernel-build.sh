# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Configures and builds kernels. `test` and `plain` have the same configuration
# and share a build folder, so that going from one to the other compiles only
# what the series touches.

CONFIGS=$PEERBAR_TOP/kernel/configs
export KBUILD_BUILD_USER=peerbar KBUILD_BUILD_HOST=peerbar KBUILD_BUILD_TIMESTAMP='2000-01-01'

# use_arch KIND: sets ARCH_ARGS, how to make it; GCC, its compiler; IMAGE_FILE, the image in the build folder; IMAGE_TARGET
use_arch() {
	ARCH_ARGS=() GCC=gcc IMAGE_FILE=arch/x86/boot/bzImage IMAGE_TARGET=bzImage
	[[ $1 == arm64 ]] || return 0
	ARCH_ARGS=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)
	GCC=aarch64-linux-gnu-gcc IMAGE_FILE=arch/arm64/boot/Image IMAGE_TARGET=Image
}

# fragments KIND: its config fragments, the later one wins; a version may have its own
fragments() {
	local own
	case $1 in
	test | plain) printf '%s\n' "$CONFIGS"/{base,test}.config ;;
	debug) printf '%s\n' "$CONFIGS"/{base,debug}.config ;;
	arm64) printf '%s\n' "$CONFIGS"/arm64.config ;;
	esac
	own=$CONFIGS/$(tree_version).config
	[[ ! -f $own ]] || printf '%s\n' "$own"
}

fragment_text() {
	local files
	mapfile -t files < <(fragments "$1")
	cat "${files[@]}"
}

# image_key KIND: what the image depends on
image_key() {
	{
		cat "$TREE/.git/peerbar-base"
		[[ $1 == plain ]] || series_key
		fragment_text "$1"
		[[ -z $OPT_PATCH ]] || cat "$OPT_PATCH"
		"$GCC" --version
		ld --version
	} | key_of
}

# build_folder KIND
build_folder() {
	local name=$1
	[[ $name != plain ]] || name="test"
	printf '%s/build/%s-%s\n' "$KERNEL" "$SOURCE" "$name"
}

# kmake ARGUMENT...: make, in the foreground
kmake() {
	make -C "$TREE" O="$OUT" -j"$(nproc)" "${ARCH_ARGS[@]}" "$@"
}

# watched WHAT LOG REGEX COMMAND...: run it, with progress by the lines of its log that match
watched() {
	local what=$1 log=$2 regex=$3 status=0 pid
	shift 3
	: >"$log"
	"$@" >"$log" 2>&1 &
	pid=$!
	tail -n +1 -f --pid="$pid" "$log" | progress "$what" "$regex" &
	wait "$pid" || status=$?
	wait
	return "$status"
}

# kmake_watched WHAT LOG ARGUMENT...: make, with progress
kmake_watched() {
	watched "$1" "$2" '^  (CC|AS|LD|AR) ' make -C "$TREE" O="$OUT" -j"$(nproc)" "${ARCH_ARGS[@]}" "${@:3}"
}

# The options of a fragment that the resulting .config does not have.
lost_options() {
	local line name
	while read -r line; do
		case $line in
		CONFIG_*=*)
			name=${line%%=*}
			grep -qxF -- "$line" "$OUT/.config" ||
				printf '  %s (is: %s)\n' "$line" "$(grep -E "^(# )?${name}[= ]" "$OUT/.config" || echo 'unknown')"
			;;
		'# CONFIG_'*' is not set')
			name=${line#\# } name=${name%% *}
			! grep -q "^$name=" "$OUT/.config" || printf '  %s\n' "$line"
			;;
		esac
	done <"$1"
}

configure() {
	local fragment=$OUT/peerbar.config lost
	mkdir -p "$OUT"
	fragment_text "$1" >"$fragment"
	kmake -s KCONFIG_ALLCONFIG="$fragment" allnoconfig >"$OUT/configure.log" 2>&1 || {
		cat "$OUT/configure.log" >&2
		die "configuring the $1 kernel failed"
	}
	lost=$(lost_options "$fragment")
	[[ -z $lost ]] || die "the $1 configuration lost options that kernel/configs asks for:"$'\n'"$lost"
}

# compile KIND TARGET...: with progress; the log stays in the build folder
compile() {
	local kind=$1 log=$OUT/make.log
	shift
	say "building the $kind kernel (log: $log)"
	if ! kmake_watched "$kind kernel" "$log" "$@"; then
		grep -E -A5 'error:|Error |\*\*\*|No space left' "$log" | tail -n 30 >&2 || tail -n 30 "$log" >&2
		! say_full "$log" || exit 1
		die "building the $kind kernel failed; the log is $log"
	fi
}

# Copy the results to a folder that appears when it is complete.
keep_image() {
	local target=$1 part=$1.part
	rm -rf "$part"
	mkdir -p "$part"
	cp "$OUT/$IMAGE_FILE" "$OUT/System.map" "$OUT/modules.builtin" "$part/"
	cp "$OUT/.config" "$part/config"
	rm -rf "$target"
	mv "$part" "$target"
}

# Folders of images nobody has asked for in a month.
drop_old_images() {
	find "$KERNEL/image" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
}

# build_image KIND: sets IMAGE
build_image() {
	local kind=$1
	use_arch "$kind"
	need_source_quietly
	IMAGE=$KERNEL/image/$kind-$(image_key "$kind")
	if [[ ! -f $IMAGE/$IMAGE_TARGET ]]; then
		lock kernel
		need_source
		IMAGE=$KERNEL/image/$kind-$(image_key "$kind")
		[[ -f $IMAGE/$IMAGE_TARGET ]] || build_missing_image "$kind"
		unlock
	fi
	touch -c "$IMAGE" 2>/dev/null || true
}

build_missing_image() {
	local kind=$1 start=$SECONDS
	OUT=$(build_folder "$kind")
	need_space 1000 "building the $kind kernel"
	if [[ $kind == plain ]]; then
		checkout base
	else
		apply_series
		checkout "$BRANCH"
	fi
	[[ -z $OPT_PATCH ]] || git -C "$TREE" apply "$OPT_PATCH" || die "$OPT_PATCH does not apply to the $kind kernel"
	configure "$kind"
	compile "$kind" "$IMAGE_TARGET"
	keep_image "$IMAGE"
	drop_old_images
	say "built the $kind kernel in $((SECONDS - start)) s"
}

# The source when it is there already; else under the lock, because it is being made.
need_source_quietly() {
	if [[ -z $OPT_TREE$OPT_TARBALL$OPT_VERSION ]] && SOURCE=$(cat "$KERNEL/selected" 2>/dev/null) &&
		[[ -d $KERNEL/source/$SOURCE ]]; then
		TREE=$KERNEL/source/$SOURCE
		return
	fi
	lock kernel
	need_source
	unlock
}
