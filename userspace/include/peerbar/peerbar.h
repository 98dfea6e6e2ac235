/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: libpeerbar
 *
 * Slices of a PCI BAR as dma-bufs: export them, choose the memory type of
 * their CPU mappings, map them, give them to RDMA NICs and other devices,
 * and take them back.
 *
 * Conventions, stated once:
 *
 * - Functions that can fail return 0 or a negative errno. Output pointers are
 *   written on success only. Nothing exits, aborts or prints; messages for a
 *   person go to the log callback of the context.
 * - Close functions take NULL and never fail. Every descriptor is O_CLOEXEC.
 * - Option structs begin with their size (set it with sizeof); a larger struct
 *   than the library knows is accepted only when what it does not know is zero
 *   (-E2BIG otherwise). Unknown flag bits are refused with -EINVAL. NULL means
 *   defaults.
 * - A handle may be used by one thread at a time; different handles may be used
 *   by different threads at once. A parent must outlive its children: context,
 *   device, buffer, then mapping and iova map.
 * - No function is async-signal-safe unless it says so.
 */
#ifndef PEERBAR_PEERBAR_H
#define PEERBAR_PEERBAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define PEERBAR_NUM_BARS 6
/* Longest PCI address, "dddddddd:bb:dd.f", with its NUL. */
#define PEERBAR_ADDRESS_MAX 17

struct peerbar;
struct peerbar_device;
struct peerbar_buffer;
struct peerbar_mapping;
struct peerbar_iova_map;

enum peerbar_log_level {
	PEERBAR_LOG_ERROR,
	PEERBAR_LOG_INFO,
	PEERBAR_LOG_DEBUG,
};

typedef void (*peerbar_log_fn)(void *arg, enum peerbar_log_level level,
			       const char *message);

/* How the CPU sees a mapping. The values are the kernel's. */
enum peerbar_memattr {
	PEERBAR_MEMATTR_NC = 0, /* noncached, strongly ordered */
	PEERBAR_MEMATTR_WC = 1, /* write-combining */
};

/* The memory type found in page tables. */
enum peerbar_memtype {
	PEERBAR_MEMTYPE_WB,
	PEERBAR_MEMTYPE_WC,
	PEERBAR_MEMTYPE_UC_MINUS,
	PEERBAR_MEMTYPE_UC,
	PEERBAR_MEMTYPE_WT,
	PEERBAR_MEMTYPE_WP,
};

struct peerbar_options {
	size_t size;
	peerbar_log_fn log;
	void *log_arg;
};

int peerbar_open(const struct peerbar_options *options, struct peerbar **out);
void peerbar_close(struct peerbar *pb);
const char *peerbar_version(void);

/* Devices ---------------------------------------------------------------- */

enum peerbar_backend {
	PEERBAR_BACKEND_AUTO = 0,
	PEERBAR_BACKEND_IOMMUFD, /* vfio cdev + iommufd */
	PEERBAR_BACKEND_GROUP,	 /* vfio group + container */
};

struct peerbar_device_options {
	size_t size;
	enum peerbar_backend backend;
};

struct peerbar_bar_info {
	uint64_t length; /* bytes; 0: the BAR does not exist */
	bool is_memory;	 /* not an I/O port BAR */
	bool is_64bit;
	bool is_prefetchable;
	bool can_mmap;
};

/* What the kernel can do for this device, found out by asking it. */
struct peerbar_device_caps {
	size_t size;
	bool dmabuf_export;  /* VFIO_DEVICE_FEATURE_DMA_BUF */
	bool dmabuf_mmap;    /* an exported dma-buf can be mmap()ed */
	bool dmabuf_revoke;  /* VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE */
	bool dmabuf_memattr; /* VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR */
	bool iova_dmabuf;    /* iommufd maps dma-bufs */
	bool reset;	     /* the device can be reset */
};

int peerbar_device_open(struct peerbar *pb, const char *address,
			const struct peerbar_device_options *options,
			struct peerbar_device **out);
void peerbar_device_close(struct peerbar_device *dev);
const char *peerbar_device_address(const struct peerbar_device *dev);
enum peerbar_backend peerbar_device_backend(const struct peerbar_device *dev);
int peerbar_device_fd(const struct peerbar_device *dev);
int peerbar_device_caps(struct peerbar_device *dev,
			struct peerbar_device_caps *caps);
int peerbar_device_bar(struct peerbar_device *dev, unsigned int bar,
		       struct peerbar_bar_info *info);
int peerbar_device_reset(struct peerbar_device *dev);
/* Lets the device start DMA of its own (PCI_COMMAND_MASTER). */
int peerbar_device_set_bus_master(struct peerbar_device *dev, bool on);

/* Buffers ---------------------------------------------------------------- */

struct peerbar_range {
	uint64_t offset; /* bytes from the start of the BAR; page aligned */
	uint64_t length; /* bytes; page aligned, not 0 */
};

struct peerbar_export_options {
	size_t size;
	enum peerbar_memattr memattr; /* for later peerbar_map() */
	bool read_only;		      /* O_RDONLY dma-buf */
};

int peerbar_buffer_export(struct peerbar_device *dev, unsigned int bar,
			  const struct peerbar_range *ranges, size_t nr_ranges,
			  const struct peerbar_export_options *options,
			  struct peerbar_buffer **out);
/* Wraps a dma-buf received from elsewhere; the descriptor is duplicated. */
int peerbar_buffer_import(struct peerbar *pb, int dmabuf_fd,
			  struct peerbar_buffer **out);
void peerbar_buffer_close(struct peerbar_buffer *buf);
int peerbar_buffer_fd(const struct peerbar_buffer *buf);
uint64_t peerbar_buffer_length(const struct peerbar_buffer *buf);
/* Both need the exporting device: -EOPNOTSUPP on an imported buffer. */
int peerbar_buffer_set_memattr(struct peerbar_buffer *buf,
			       enum peerbar_memattr memattr);
int peerbar_buffer_revoke(struct peerbar_buffer *buf);
/*
 * The same two for a descriptor that came back from a client: -EBADF not open,
 * -EINVAL no dma-buf, -ENODEV not this device's, -EBADFD revoked for good,
 * -ENOENT unknown attribute, -EOPNOTSUPP kernel without the series.
 */
int peerbar_device_set_memattr_fd(struct peerbar_device *dev, int dmabuf_fd,
				  uint32_t memattr);
int peerbar_device_revoke_fd(struct peerbar_device *dev, int dmabuf_fd);

/* CPU mappings ----------------------------------------------------------- */

struct peerbar_map_options {
	size_t size;
	bool read_only;
};

int peerbar_map(struct peerbar_buffer *buf, uint64_t offset, size_t length,
		const struct peerbar_map_options *options,
		struct peerbar_mapping **out);
void peerbar_unmap(struct peerbar_mapping *map);
volatile void *peerbar_mapping_addr(const struct peerbar_mapping *map);
size_t peerbar_mapping_length(const struct peerbar_mapping *map);
/*
 * The memory type that the page tables hold for the page at addr, which must
 * have been touched. Needs root and CONFIG_PTDUMP_DEBUGFS: -EOPNOTSUPP where
 * the kernel cannot tell, -EPERM without the right, -ENOENT not mapped.
 */
int peerbar_memtype_of(const volatile void *addr, enum peerbar_memtype *out);
const char *peerbar_memtype_name(enum peerbar_memtype type);

/* DMA by other devices --------------------------------------------------- */

struct peerbar_iova_options {
	size_t size;
	uint64_t iova;	 /* used when fixed */
	bool fixed;	 /* at options->iova, else anywhere below iova_limit */
	uint64_t iova_limit; /* highest usable IOVA + 1; 0: the IOMMU's own */
};

/* Lets dev reach buf[offset, offset + length) by DMA. */
int peerbar_iova_map(struct peerbar_device *dev, struct peerbar_buffer *buf,
		     uint64_t offset, uint64_t length,
		     const struct peerbar_iova_options *options,
		     struct peerbar_iova_map **out);
uint64_t peerbar_iova(const struct peerbar_iova_map *map);
void peerbar_iova_unmap(struct peerbar_iova_map *map);

/* The machine ------------------------------------------------------------ */

struct peerbar_device_info {
	char address[PEERBAR_ADDRESS_MAX]; /* "dddd:bb:dd.f" */
	uint16_t vendor;
	uint16_t device;
	uint32_t class_code;  /* base class, subclass, interface: 0xbbsspp */
	char driver[32];      /* empty: none bound */
	int iommu_group;      /* -1: none */
	bool vfio_bound;      /* the driver is vfio-pci or a variant of it */
	struct peerbar_bar_info bars[PEERBAR_NUM_BARS];
};

int peerbar_list_devices(struct peerbar *pb, struct peerbar_device_info **out,
			 size_t *count);
void peerbar_free_devices(struct peerbar_device_info *devices);
int peerbar_device_lookup(struct peerbar *pb, const char *address,
			  struct peerbar_device_info *out);

struct peerbar_system_caps {
	size_t size;
	bool iommu;	 /* some IOMMU is on and has groups */
	bool vfio_pci;	 /* the vfio-pci driver is present */
	bool vfio_group; /* /dev/vfio/vfio exists */
	bool vfio_cdev;	 /* vfio devices have character devices */
	bool iommufd;	 /* /dev/iommu exists */
	bool pat_wc;	 /* x86: the PAT has a write-combining entry */
	bool ptdump;	 /* peerbar_memtype_of() can work */
	char kernel_release[65];
};

int peerbar_system_caps(struct peerbar *pb, struct peerbar_system_caps *caps);

/* Binding to vfio-pci ---------------------------------------------------- */

int peerbar_bind(struct peerbar *pb, const char *address);
int peerbar_unbind(struct peerbar *pb, const char *address);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* PEERBAR_PEERBAR_H */
