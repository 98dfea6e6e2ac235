/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A made-up machine: /sys, /dev and /proc in a temporary directory, and a
 * kernel behind them that is played by wrapped system calls (see the --wrap
 * options in meson.build). It keeps state and looks at every argument.
 */
#ifndef UNIT_FAKE_H
#define UNIT_FAKE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <peerbar/peerbar.h>

#include "uapi.h"

/* Two devices with vfio-pci, one with a driver of the kernel, one with none. */
#define FAKE_MEM  "0000:00:04.0" /* BAR 0: 16 KiB, BAR 2: 64 MiB; group 7 */
#define FAKE_REG  "0000:00:05.0" /* BAR 0: 1 MiB; group 8 */
#define FAKE_NIC  "0000:00:03.0" /* driver: e1000e; group 6 */
#define FAKE_IDLE "0001:0a:1f.7" /* no driver, no group; BAR 0: I/O ports */

/*
 * What the kernel is to do. A field that holds an errno makes the call fail;
 * all zeros is a kernel with everything.
 */
struct fake_kernel {
	bool plain;	      /* without the series */
	int lacks;	      /* what it says for a feature that is not there; 0: ENOTTY */
	bool other_numbers;   /* the series' features have other numbers */
	bool foreign;	      /* other features have the series' numbers */
	bool attribute_first; /* MEMATTR looks at the attribute before the descriptor */
	int feature;	      /* of any VFIO_DEVICE_FEATURE */
	bool no_export;	      /* without VFIO_DEVICE_FEATURE_DMA_BUF */
	bool no_dmabuf_map;   /* iommufd takes memfds only */
	bool no_map_file;     /* iommufd has no IOMMU_IOAS_MAP_FILE */
	bool no_reset;
	bool no_bar0; /* vfio hides it */
	bool no_type1;
	bool not_viable; /* a device of the group has a driver of the kernel */
	int bind_iommufd;
	int attach;
	int destroy;
	int export_dmabuf;
	int no_export_flags; /* the errno of a kernel that knows none */
	int revoke;
	int memattr;
	int mmap;
	int map_file;
	int map_file_once; /* the next time only */
	int unmap;	   /* it is undone all the same */
	int reset;
	int bus_master;		    /* of reading and writing the register */
	const char *locked_down;    /* openat() says EPERM to a path that ends in it */
	const char *deny;	    /* faccessat() says no to a path that ends in it */
	uint32_t nr_ranges;	    /* of DMA addresses, half a MiB each; 0: a PC's two */
	uint64_t iova_alignment;    /* the IOMMU's pages; 0: 4096 */
	unsigned int ignored_hints; /* mmap()s whose address somebody else has taken */
	unsigned int minor_offset;  /* nodes have other device numbers than sysfs says */
	bool swapped;		    /* a node is another one when it is open */

	/* The nth fallible call from now on fails; 0: none. */
	unsigned int fail_nth;
	bool failed; /* it did */

	/* What happened. */
	unsigned int misuses; /* what no caller should ask for */
	unsigned int exports;
	unsigned int maps;
	unsigned int live_ioas;
	uint16_t pci_command;
	uint32_t last_open_flags;
	uint32_t last_export_flags;
	uint32_t last_bar;
	uint32_t last_ranges;		 /* how many */
	struct peerbar_range last_range; /* the last of them */
	uint32_t last_memattr;
	struct pb_iommu_ioas_map_file last_map;
};

extern struct fake_kernel fake;

/* Builds the machine; bails out where it cannot. Removed at exit. */
void fake_machine(void);
/* A context that looks at it, whose messages go to fake_last_error(). */
struct peerbar *fake_open(void);
/* The last error message, or "". */
const char *fake_last_error(void);
void fake_clear_log(void);

void fake_write(const char *path, const char *text);
/* "" where there is no such file. */
const char *fake_read(const char *path);
/* Where a link points; "" where there is none. */
const char *fake_readlink(const char *path);
void fake_link(const char *target, const char *path);
void fake_remove(const char *path);
void fake_mkdir(const char *path);

/* Gives a device's "vfioN" its number in sysfs, 511:N. */
void fake_vfio_number(const char *address, const char *name);

/* What the parts of the played kernel share. Fails a call: -1, and errno. */
int fake_fail(int err);
bool fake_path_of(int fd, char path[PATH_MAX]);
bool fake_ends_with(const char *text, const char *end);

/* Open descriptors of this process. */
unsigned int count_fds(void);

#endif /* UNIT_FAKE_H */
