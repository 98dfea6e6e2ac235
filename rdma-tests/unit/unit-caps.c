// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the kernel can do for a device: by which answer it is found out, that a
 * failure is never taken for one, and kernels with other words and numbers.
 */
#include <errno.h>
#include <string.h>

#include "fakefixture.h"
#include "util.h"

static struct peerbar *pb;

static struct peerbar_device_caps caps_of(struct peerbar_device *dev, int want, const char *name)
{
	struct peerbar_device_caps caps = {.size = sizeof(caps)};
	unsigned int maps = fake.maps, fds = count_fds();

	is_int(peerbar_device_caps(dev, &caps), want, "%s", name);
	ok(fake.maps == maps && count_fds() == fds, "%s: nothing is left", name);
	return caps;
}

static struct peerbar_device_caps caps_now(const char *name)
{
	struct peerbar_device *dev = open_device(pb, FAKE_MEM);
	struct peerbar_device_caps caps = caps_of(dev, 0, name);

	peerbar_device_close(dev);
	return caps;
}

/* The six, as one word. */
static const char *flags_of(const struct peerbar_device_caps *caps)
{
	static char flags[8];
	const bool all[] = {caps->dmabuf_export,  caps->dmabuf_mmap, caps->dmabuf_revoke,
			    caps->dmabuf_memattr, caps->iova_dmabuf, caps->reset};

	for (size_t i = 0; i < PB_ARRAY_SIZE(all); i++)
		flags[i] = all[i] ? "emraix"[i] : '-';
	return flags;
}

static void expect(const char *name, const char *flags)
{
	struct peerbar_device_caps caps = caps_now(name);

	is_str(flags_of(&caps), flags, "%s: the answer", name);
}

static void test_kernels(void)
{
	expect("everything", "emraix");
	fake.attribute_first = true;
	expect("attribute before descriptor", "emraix");
	fake.attribute_first = false;
	fake.plain = true;
	fake.mmap = EINVAL;
	fake.no_dmabuf_map = true;
	expect("without the series: export only", "e----x");
	fake.no_dmabuf_map = false;
	fake.no_map_file = true;
	expect("no IOMMU_IOAS_MAP_FILE either", "e----x");
	fake.no_map_file = false;
	fake.no_export = true;
	fake.no_reset = true;
	expect("an old kernel: not even that", "------");
	fake.lacks = EOPNOTSUPP;
	expect("one that says EOPNOTSUPP", "------");
	memset(&fake, 0, sizeof(fake));
	fake.plain = true;
	fake.lacks = EOPNOTSUPP;
	expect("mapping, and EOPNOTSUPP for the rest", "em--ix");
	memset(&fake, 0, sizeof(fake));
	fake.other_numbers = true;
	expect("the features have other numbers", "em--ix");
	fake.other_numbers = false;
	fake.foreign = true;
	expect("other features have their numbers", "em--ix");
	fake.foreign = false;
}

static void test_by_group(void)
{
	struct peerbar_device_options options = {.size = sizeof(options),
						 .backend = PEERBAR_BACKEND_GROUP};
	struct peerbar_device_caps caps;
	struct peerbar_device *dev;

	if (peerbar_device_open(pb, FAKE_MEM, &options, &dev))
		bail_out("cannot open by the group: %s", fake_last_error());
	caps = caps_of(dev, 0, "by way of the group");
	is_str(flags_of(&caps), "emra-x", "no DMA mapping");
	peerbar_device_close(dev);
}

/* An errno that means no, one that means yes, and those that mean nothing. */
static void test_answers(void)
{
	static const int nothing[] = {EMFILE, ENFILE, ENOMEM, EINTR, EIO, EAGAIN, EPERM, ENODEV};
	static const int no[] = {EINVAL, EOPNOTSUPP, ENOTTY};
	struct peerbar_device *dev = open_device(pb, FAKE_MEM);
	struct peerbar_device_caps caps;

	for (size_t i = 0; i < PB_ARRAY_SIZE(nothing); i++) {
		fake.mmap = nothing[i];
		caps_of(dev, -nothing[i], strerror(nothing[i]));
		has_str(fake_last_error(), "cannot find out", "the message says so");
		fake.mmap = 0;
		fake.map_file = nothing[i];
		caps_of(dev, -nothing[i], strerror(nothing[i]));
		fake.map_file = 0;
		fake.feature = nothing[i];
		caps_of(dev, -nothing[i], strerror(nothing[i]));
		fake.feature = 0;
		if (nothing[i] == ENODEV)
			continue; /* of an export: no resources for that BAR */
		fake.export_dmabuf = nothing[i];
		caps_of(dev, -nothing[i], strerror(nothing[i]));
		fake.export_dmabuf = 0;
	}
	fake.mmap = EBUSY;
	caps = caps_of(dev, 0, "the page is in use with another type");
	is_str(flags_of(&caps), "emraix", "which means yes");
	fake.mmap = 0;
	peerbar_device_close(dev);
	for (size_t i = 0; i < PB_ARRAY_SIZE(no); i++) {
		fake.mmap = no[i];
		caps = caps_now(strerror(no[i]));
		is_str(flags_of(&caps), "e-raix", "mmap() says no: %s", strerror(no[i]));
		fake.mmap = 0;
	}
	fake.export_dmabuf = EINVAL;
	caps = caps_now("nothing to try it on");
	is_str(flags_of(&caps), "e-ra-x", "what cannot be tried is not claimed");
	fake.export_dmabuf = 0;
}

static void test_kept(void)
{
	struct peerbar_device *dev = open_device(pb, FAKE_MEM);
	unsigned int exports = fake.exports;

	caps_of(dev, 0, "the first time");
	ok(fake.exports > exports, "it is tried out");
	exports = fake.exports;
	caps_of(dev, 0, "the second time");
	is_int(fake.exports, exports, "the answer was kept");
	peerbar_device_close(dev);
}

/* A BAR without resources does not hide one that has them. */
static void test_first_bar(void)
{
	fake.no_bar0 = true;
	expect("vfio hides BAR 0", "emraix");
	is_int(fake.last_bar, 2, "so it is tried on BAR 2");
	fake.no_bar0 = false;
	expect("with BAR 0", "emraix");
	is_int(fake.last_bar, 0, "on that");
}

/* On an IOMMU with larger pages than the CPU's a page cannot be tried. */
static void test_coarse_iommu(void)
{
	fake.iova_alignment = 65536;
	expect("an IOMMU with pages of 64 KiB", "emraix");
	is_int((long long)fake.last_map.length, 65536, "it was tried with one");
	fake.iova_alignment = 0;
}

/* Fails every call, one by one: the truth, or an errno; and the truth afterwards. */
static void test_failures(void)
{
	unsigned int n = 0, lies = 0, kept = 0, left = 0;

	do {
		struct peerbar_device_caps caps = {.size = sizeof(caps)};
		struct peerbar_device *dev = open_device(pb, FAKE_MEM);
		unsigned int fds = count_fds();
		int ret;

		fake.failed = false;
		fake.fail_nth = ++n;
		ret = peerbar_device_caps(dev, &caps);
		fake.fail_nth = 0;
		left += count_fds() != fds || fake.maps;
		lies += !ret && strcmp(flags_of(&caps), "emraix");
		lies += fake.failed && !ret;
		ret = peerbar_device_caps(dev, &caps);
		kept += ret || strcmp(flags_of(&caps), "emraix");
		peerbar_device_close(dev);
	} while (fake.failed);
	ok(n > 8, "%u calls were made to fail", n - 1);
	is_int(lies, 0, "no failure is taken for an answer");
	is_int(kept, 0, "none is kept");
	is_int(left, 0, "and nothing is left");
}

int main(void)
{
	fake_machine();
	pb = fake_open();
	test_kernels();
	test_by_group();
	test_answers();
	test_kept();
	test_first_bar();
	test_coarse_iommu();
	test_failures();
	peerbar_close(pb);
	is_int(fake.misuses, 0, "nothing was asked for that no caller should");
	return done_testing();
}
