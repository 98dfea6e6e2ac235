/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What only a device can tell: kernel features, and memory types. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "output.h"

#define NO_BAR PEERBAR_NUM_BARS

#define SERIES "a kernel with the peerbar series"

struct feature {
	const char *id;
	const char *ability;
	size_t flag; /* in struct peerbar_device_caps */
	const char *have;
	const char *lack;
	const char *fix;
};

#define FLAG(name) offsetof(struct peerbar_device_caps, name)

static const struct feature features[] = {
	{ "dmabuf-export", "export as dma-buf", FLAG(dmabuf_export),
	  "slices of a BAR can be handed to RDMA NICs and other devices",
	  "this device's driver does not know VFIO_DEVICE_FEATURE_DMA_BUF",
	  "a kernel with CONFIG_VFIO_PCI_DMABUF and CONFIG_PCI_P2PDMA" },
	{ "dmabuf-mmap", "mmap of a dma-buf", FLAG(dmabuf_mmap),
	  "the CPU can map exactly the slice that was exported",
	  "the kernel refuses to mmap an exported dma-buf", SERIES },
	{ "dmabuf-memattr", "choice of memory type", FLAG(dmabuf_memattr),
	  "a slice can be mapped noncached or write-combining",
	  "this device's driver does not know VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR", SERIES },
	{ "dmabuf-revoke", "revoke for good", FLAG(dmabuf_revoke),
	  "an exported slice can be taken back from everybody",
	  "this device's driver does not know VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE", SERIES },
	{ "iova-dmabuf", "device-to-device DMA", FLAG(iova_dmabuf),
	  "iommufd maps exported slices for other devices",
	  "iommufd does not map this dma-buf",
	  "open the device through iommufd, on a kernel that exports dma-bufs" },
	{ "reset", "device reset", FLAG(reset),
	  "the device can be reset by its user",
	  "this device knows no way to be reset", "a device with a function-level reset" },
};

#define NR_FEATURES (sizeof(features) / sizeof(*features))

static void add_unknown_features(struct doctor *doctor, const char *why, const char *fix)
{
	for (size_t i = 0; i < NR_FEATURES; i++) {
		struct finding *finding = finding_add(doctor, GROUP_KERNEL, ANSWER_UNKNOWN,
						      features[i].id, features[i].ability);

		finding_why(finding, "%s", why);
		finding_fix(finding, "%s", fix);
	}
}

/*
 * The parts of the series came to be known one by one, with numbers of their
 * own: dma-bufs that can be mapped are a sign of another edition of it.
 */
static bool other_edition(const struct feature *feature, const struct peerbar_device_caps *caps)
{
	return caps->dmabuf_mmap && (feature->flag == FLAG(dmabuf_memattr) ||
				     feature->flag == FLAG(dmabuf_revoke));
}

static void explain_lack(struct finding *finding, const struct feature *feature,
			 const struct peerbar_device_caps *caps, enum peerbar_backend backend)
{
	if (feature->flag == FLAG(iova_dmabuf) && backend == PEERBAR_BACKEND_GROUP) {
		finding_why(finding, "the device was opened through its group, not iommufd");
		finding_fix(finding, "as for iommufd above");
		return;
	}
	if (other_edition(feature, caps)) {
		finding_why(finding, "dma-bufs can be mapped, but there is no such feature under "
				     "a number that this peerbar knows: the kernel has another "
				     "edition of the vfio series, or a part of it");
		finding_fix(finding, "a peerbar that knows this kernel's numbers, or %s", SERIES);
		return;
	}
	finding_why(finding, "%s", feature->lack);
	finding_fix(finding, "%s", feature->fix);
}

static void add_features(struct doctor *doctor, const struct peerbar_device_caps *caps,
			 enum peerbar_backend backend)
{
	for (size_t i = 0; i < NR_FEATURES; i++) {
		const struct feature *feature = &features[i];
		bool yes = *(const bool *)((const char *)caps + feature->flag);
		struct finding *finding = finding_add(doctor, GROUP_KERNEL,
						      yes ? ANSWER_YES : ANSWER_NO,
						      feature->id, feature->ability);

		if (yes)
			finding_why(finding, "%s", feature->have);
		else
			explain_lack(finding, feature, caps, backend);
	}
}

/*
 * Reading a register may change the device; reading prefetchable memory may
 * not, by the PCI specification. So only such a BAR is ever touched.
 */
static unsigned int touchable_bar(const struct peerbar_bar_info *bars)
{
	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++)
		if (bars[i].is_memory && bars[i].is_prefetchable &&
		    bars[i].length >= (uint64_t)sysconf(_SC_PAGESIZE))
			return i;
	return NO_BAR;
}

/* Maps a page with the attribute, touches it, reads what type it really has. */
static int real_type(struct peerbar_device *dev, unsigned int bar, enum peerbar_memattr memattr,
		     enum peerbar_memtype *type)
{
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = memattr,
	};
	const struct peerbar_map_options read_only = {
		.size = sizeof(read_only),
		.read_only = true,
	};
	const size_t page = sysconf(_SC_PAGESIZE);
	const struct peerbar_range range = { .offset = 0, .length = page };
	struct peerbar_mapping *map = NULL;
	struct peerbar_buffer *buf;
	int ret;

	ret = peerbar_buffer_export(dev, bar, &range, 1, &options, &buf);
	if (ret)
		return ret;
	ret = peerbar_map(buf, 0, page, &read_only, &map);
	if (!ret) {
		(void)*(volatile uint8_t *)peerbar_mapping_addr(map);
		ret = peerbar_memtype_of(peerbar_mapping_addr(map), type);
	}
	peerbar_unmap(map);
	peerbar_buffer_close(buf);
	return ret;
}

static bool right_type(enum peerbar_memattr memattr, enum peerbar_memtype type)
{
	if (memattr == PEERBAR_MEMATTR_WC)
		return type == PEERBAR_MEMTYPE_WC;
	return type == PEERBAR_MEMTYPE_UC || type == PEERBAR_MEMTYPE_UC_MINUS;
}

static void explain_untold(struct doctor *doctor, struct finding *finding, int error)
{
	if (error == -EPERM || error == -EACCES) {
		finding_why(finding, "only root may read page tables");
		finding_fix(finding, "sudo peerbar doctor");
	} else if (!doctor->caps.ptdump) {
		finding_why(finding, "the mapping was made, but this kernel cannot tell its type");
		finding_fix(finding, "as for the page-table dump above");
	} else {
		finding_why(finding, "the page could not be mapped and looked up: %s",
			    *doctor->cli->last_error ? doctor->cli->last_error : strerror(-error));
		finding_fix(finding, "`peerbar doctor -v` shows each step");
	}
}

static void examine_type(struct doctor *doctor, struct peerbar_device *dev, unsigned int bar,
			 enum peerbar_memattr memattr)
{
	bool wc = memattr == PEERBAR_MEMATTR_WC;
	struct finding *finding = finding_add(doctor, GROUP_MEMTYPE, ANSWER_UNKNOWN,
					      wc ? "wc-is-wc" : "nc-is-nc",
					      wc ? "WC mapping is WC" : "NC mapping is NC");
	enum peerbar_memtype type;
	int ret;

	cli_forget(doctor->cli);
	ret = real_type(dev, bar, memattr, &type);
	if (ret) {
		explain_untold(doctor, finding, ret);
		return;
	}
	finding->answer = right_type(memattr, type) ? ANSWER_YES : ANSWER_NO;
	finding->alarm = finding->answer == ANSWER_NO;
	finding_why(finding, "asked for %s; the page table of BAR %u says %s", wc ? "WC" : "NC",
		    bar, peerbar_memtype_name(type));
	if (finding->alarm)
		finding_fix(finding, "do not trust the memory type on this kernel: %s is needed "
				     "that keeps its word", SERIES);
}

static void types_unknown(struct doctor *doctor, const char *why, const char *fix)
{
	struct finding *finding = finding_add(doctor, GROUP_MEMTYPE, ANSWER_UNKNOWN, "wc-is-wc",
					      "WC mapping is WC");

	finding_why(finding, "%s", why);
	finding_fix(finding, "%s", fix);
}

static void examine_types(struct doctor *doctor, struct peerbar_device *dev,
			  const struct peerbar_device_caps *caps,
			  const struct peerbar_device_info *info)
{
	unsigned int bar = touchable_bar(info->bars);

	if (!caps->dmabuf_mmap || !caps->dmabuf_memattr)
		types_unknown(doctor, "there is no WC mapping without mmap and choice of memory type",
			      "as for those two above");
	else if (bar == NO_BAR)
		types_unknown(doctor, "the device has no prefetchable BAR, and a register must "
				      "not be touched", "bind a device with a memory BAR");
	else {
		examine_type(doctor, dev, bar, PEERBAR_MEMATTR_NC);
		examine_type(doctor, dev, bar, PEERBAR_MEMATTR_WC);
	}
}

static void everything_unknown(struct doctor *doctor, const char *why, const char *fix)
{
	add_unknown_features(doctor, why, fix);
	types_unknown(doctor, why, fix);
}

/* Why a device could not be asked, and what would help. */
struct trouble {
	char why[FINDING_TEXT];
	char fix[FINDING_TEXT];
};

static void note_trouble(const struct doctor *doctor, struct trouble *trouble,
			 const char *address, int error)
{
	const char *said = doctor->cli->last_error;

	snprintf(trouble->why, sizeof(trouble->why), "%s cannot be asked: %s", address,
		 *said ? said : strerror(-error));
	if (error == -EBUSY)
		snprintf(trouble->fix, sizeof(trouble->fix),
			 "end the program that uses it, or bind another device");
	else if (error == -EUSERS)
		snprintf(trouble->fix, sizeof(trouble->fix), "sudo peerbar bind --group %s",
			 address);
	else if ((error == -EACCES || error == -EPERM) && geteuid())
		snprintf(trouble->fix, sizeof(trouble->fix),
			 "sudo peerbar doctor, or be given the nodes in /dev/vfio");
	else
		snprintf(trouble->fix, sizeof(trouble->fix),
			 "`peerbar doctor -v` and dmesg may tell more");
}

static int examine_open_device(struct doctor *doctor, struct peerbar_device *dev,
			       const struct peerbar_device_info *info)
{
	struct peerbar_device_caps caps = { .size = sizeof(caps) };
	int ret = peerbar_device_caps(dev, &caps);

	if (ret)
		return ret;
	snprintf(doctor->device, sizeof(doctor->device), "%s", info->address);
	add_features(doctor, &caps, peerbar_device_backend(dev));
	examine_types(doctor, dev, &caps, info);
	return 0;
}

/* Asks one device; where that cannot be done, notes why. */
static bool examine(struct doctor *doctor, const struct peerbar_device_info *info,
		    struct trouble *trouble)
{
	struct peerbar_device *dev;
	int ret;

	cli_forget(doctor->cli);
	ret = peerbar_device_open(doctor->cli->pb, info->address, NULL, &dev);
	if (!ret) {
		ret = examine_open_device(doctor, dev, info);
		peerbar_device_close(dev);
	}
	if (ret)
		note_trouble(doctor, trouble, info->address, ret);
	return !ret;
}

/*
 * The first bound device that can be asked; those that can tell about memory
 * types come first. Of several that cannot be asked, the first is spoken of.
 */
static void examine_some_device(struct doctor *doctor, const struct peerbar_device_info *infos,
				size_t count)
{
	struct trouble first = { .why = "" }, later;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < count; i++) {
			bool telling = touchable_bar(infos[i].bars) != NO_BAR;

			if (infos[i].vfio_bound && telling == !pass &&
			    examine(doctor, &infos[i], *first.why ? &later : &first))
				return;
		}
	}
	if (*first.why)
		everything_unknown(doctor, first.why, first.fix);
	else
		everything_unknown(doctor, "no device is bound to vfio-pci that could be asked",
				   doctor->caps.vfio_pci && doctor->caps.iommu ?
				   "bind a device to find out: sudo peerbar bind ADDR" :
				   "once what is missing above is there: sudo peerbar bind ADDR");
}

static enum cli_status refuse_unbound(struct doctor *doctor,
				      const struct peerbar_device_info *info)
{
	struct failure failure = { .address = info->address };

	snprintf(failure.tried, sizeof(failure.tried), "cannot ask %s", info->address);
	snprintf(doctor->cli->last_error, sizeof(doctor->cli->last_error),
		 "it is not bound to vfio-pci (its driver: %s)",
		 *info->driver ? info->driver : "none");
	snprintf(failure.hint, sizeof(failure.hint), "sudo peerbar bind %s", info->address);
	failure_report(doctor->cli, &failure);
	return CLI_FAILED;
}

static enum cli_status examine_named_device(struct doctor *doctor)
{
	struct peerbar_device_info info;
	struct trouble trouble;
	enum cli_status status;

	status = cli_lookup(doctor->cli, doctor->cli->device, &info);
	if (status)
		return status;
	if (!info.vfio_bound)
		return refuse_unbound(doctor, &info);
	if (!examine(doctor, &info, &trouble))
		everything_unknown(doctor, trouble.why, trouble.fix);
	return CLI_OK;
}

enum cli_status doctor_examine_device(struct doctor *doctor)
{
	struct peerbar_device_info *infos;
	size_t count;
	int ret;

	if (cli_has(doctor->cli, CLI_OPT_PASSIVE)) {
		everything_unknown(doctor, "no device was opened, as asked for",
				   "peerbar doctor without --passive");
		return CLI_OK;
	}
	if (doctor->cli->device)
		return examine_named_device(doctor);
	ret = peerbar_list_devices(doctor->cli->pb, &infos, &count);
	if (ret) {
		everything_unknown(doctor, "the PCI devices cannot be listed", "mount /sys");
		return CLI_OK;
	}
	examine_some_device(doctor, infos, count);
	peerbar_free_devices(infos);
	return CLI_OK;
}
