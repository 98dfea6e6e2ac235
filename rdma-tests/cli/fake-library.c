/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A libpeerbar that tells what FAKE_* variables say, to be preloaded: how the
 * tool behaves on machines that are not at hand, such as one whose WC mappings
 * are none. Bits are in the order of the struct's members; numbers below zero
 * are errnos to fail with. Nothing here touches the machine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerbar/peerbar.h>

static peerbar_log_fn log_fn;
static void *log_arg;
static char handle; /* all handles point here */
static char page[65536] __attribute__((aligned(65536)));
static enum peerbar_memattr mapped;

static int number(const char *name, int otherwise)
{
	const char *value = getenv(name);

	return value ? (int)strtol(value, NULL, 0) : otherwise;
}

static int fail(int error)
{
	if (error < 0 && log_fn)
		log_fn(log_arg, PEERBAR_LOG_ERROR, "the fake library was told to fail");
	return error;
}

int peerbar_open(const struct peerbar_options *options, struct peerbar **out)
{
	log_fn = options->log;
	log_arg = options->log_arg;
	*out = (struct peerbar *)&handle;
	return number("FAKE_OPEN_LIBRARY", 0);
}

void peerbar_close(struct peerbar *pb)
{
}

/* Two devices in one group: memory on vfio-pci or not, and a disk. */
static void fill_devices(struct peerbar_device_info infos[2])
{
	memset(infos, 0, 2 * sizeof(*infos));
	strcpy(infos[0].address, "0000:0a:00.0");
	infos[0].class_code = 0x050000;
	infos[0].vfio_bound = number("FAKE_BOUND", 1);
	strcpy(infos[0].driver, infos[0].vfio_bound ? "vfio-pci" : "");
	infos[0].iommu_group = 7;
	infos[0].bars[2] = (struct peerbar_bar_info){
		.length = strtoull(getenv("FAKE_LENGTH") ?: "67108864", NULL, 0),
		.is_memory = true,
		.is_64bit = true,
		.is_prefetchable = true,
		.can_mmap = true,
	};
	strcpy(infos[1].address, "0000:0a:00.1");
	infos[1].class_code = 0x010601;
	strcpy(infos[1].driver, "ahci");
	infos[1].iommu_group = 7;
}

int peerbar_list_devices(struct peerbar *pb, struct peerbar_device_info **out, size_t *count)
{
	int devices = number("FAKE_DEVICES", 2);

	if (devices < 0)
		return fail(devices);
	*out = calloc(2, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	fill_devices(*out);
	*count = devices;
	return 0;
}

void peerbar_free_devices(struct peerbar_device_info *devices)
{
	free(devices);
}

int peerbar_device_lookup(struct peerbar *pb, const char *address, struct peerbar_device_info *out)
{
	struct peerbar_device_info infos[2];

	fill_devices(infos);
	for (int i = 0; i < 2; i++) {
		if (!strcmp(infos[i].address, address)) {
			*out = infos[i];
			return 0;
		}
	}
	return fail(-ENODEV);
}

int peerbar_system_caps(struct peerbar *pb, struct peerbar_system_caps *caps)
{
	int bits = number("FAKE_SYSTEM", 0x7f);

	caps->iommu = bits & 1;
	caps->vfio_pci = bits & 2;
	caps->vfio_group = bits & 4;
	caps->vfio_cdev = bits & 8;
	caps->iommufd = bits & 16;
	caps->pat_wc = bits & 32;
	caps->ptdump = bits & 64;
	strcpy(caps->kernel_release, "1.2.3-fake");
	return 0;
}

int peerbar_device_open(struct peerbar *pb, const char *address,
			const struct peerbar_device_options *options, struct peerbar_device **out)
{
	*out = (struct peerbar_device *)&handle;
	return fail(number("FAKE_OPEN", 0));
}

void peerbar_device_close(struct peerbar_device *dev)
{
}

enum peerbar_backend peerbar_device_backend(const struct peerbar_device *dev)
{
	return number("FAKE_BACKEND", PEERBAR_BACKEND_IOMMUFD);
}

int peerbar_device_caps(struct peerbar_device *dev, struct peerbar_device_caps *caps)
{
	int bits = number("FAKE_CAPS", 0x3f);

	caps->dmabuf_export = bits & 1;
	caps->dmabuf_mmap = bits & 2;
	caps->dmabuf_revoke = bits & 4;
	caps->dmabuf_memattr = bits & 8;
	caps->iova_dmabuf = bits & 16;
	caps->reset = bits & 32;
	return 0;
}

int peerbar_buffer_export(struct peerbar_device *dev, unsigned int bar,
			  const struct peerbar_range *ranges, size_t nr_ranges,
			  const struct peerbar_export_options *options, struct peerbar_buffer **out)
{
	mapped = options->memattr;
	*out = (struct peerbar_buffer *)&handle;
	return fail(number("FAKE_EXPORT", 0));
}

void peerbar_buffer_close(struct peerbar_buffer *buf)
{
}

int peerbar_map(struct peerbar_buffer *buf, uint64_t offset, size_t length,
		const struct peerbar_map_options *options, struct peerbar_mapping **out)
{
	*out = (struct peerbar_mapping *)&handle;
	return 0;
}

void peerbar_unmap(struct peerbar_mapping *map)
{
}

volatile void *peerbar_mapping_addr(const struct peerbar_mapping *map)
{
	return page;
}

int peerbar_memtype_of(const volatile void *addr, enum peerbar_memtype *out)
{
	bool wc = mapped == PEERBAR_MEMATTR_WC;
	int type = wc ? number("FAKE_WC", PEERBAR_MEMTYPE_WC)
		      : number("FAKE_NC", PEERBAR_MEMTYPE_UC_MINUS);

	if (type < 0)
		return type;
	*out = type;
	return 0;
}

/* FAKE_USE: the errno of a use; FAKE_USE_OF: of which device alone. */
int peerbar_device_in_use(struct peerbar *pb, const char *address, peerbar_use_fn report, void *arg)
{
	const char *only = getenv("FAKE_USE_OF");
	int error = number("FAKE_USE", 0);
	struct peerbar_device_use use = {
		.size = sizeof(use),
		.address = address,
		.name = "fake0",
		.text = "the disk fake0 is mounted on /fake",
		.kind = error == -EBUSY ? PEERBAR_USE_DISK : PEERBAR_USE_UNCHECKED,
		.error = error == -EBUSY ? 0 : -error,
	};

	if (!error || (only && strcmp(only, address)))
		return 0;
	if (error != -EBUSY)
		use.text = "it cannot be found out whether fake0 is mounted";
	report(arg, &use);
	return error;
}

/* Says what it was called for, so that tests can see it. */
int peerbar_device_bind(struct peerbar *pb, const char *address,
			const struct peerbar_bind_options *options)
{
	if (getenv("FAKE_TRACE"))
		fprintf(stderr, "bind %s driver=%s flags=%llu\n", address, options->driver ?: "",
			(unsigned long long)options->flags);
	return fail(number("FAKE_BIND", 0));
}

int peerbar_device_unbind(struct peerbar *pb, const char *address,
			  const struct peerbar_unbind_options *options)
{
	if (getenv("FAKE_TRACE"))
		fprintf(stderr, "unbind %s flags=%llu\n", address,
			(unsigned long long)options->flags);
	return fail(number("FAKE_BIND", 0));
}

int peerbar_device_find_driver(struct peerbar *pb, const char *address, char *driver, size_t size)
{
	strcpy(driver, "fake-vfio-pci");
	return fail(number("FAKE_DRIVER", 0));
}

int peerbar_device_binding(struct peerbar *pb, const char *address,
			   struct peerbar_binding_info *out)
{
	int state = number("FAKE_BINDING", PEERBAR_BINDING_NONE);

	/* The disk is well; it is the other one that may not be. */
	if (strcmp(address, "0000:0a:00.0"))
		return 0;
	if (state < 0)
		return fail(state);
	out->state = state;
	strcpy(out->driver_override, getenv("FAKE_OVERRIDE") ?: "");
	strcpy(out->former_driver, "former");
	return 0;
}
