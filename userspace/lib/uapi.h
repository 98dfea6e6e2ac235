/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the library asks of the kernel and older <linux/vfio.h> lack, from
 * Linux 7.3's include/uapi/linux/{vfio,iommufd}.h. The iommufd structs have
 * names of our own, so that a newer system header does not collide with them.
 */
#ifndef PB_UAPI_H
#define PB_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

#ifndef DMA_BUF_MAGIC
#define DMA_BUF_MAGIC 0x444d4142 /* "DMAB", f_type of a dma-buf's statfs */
#endif

/* vfio: character devices --------------------------------------------------- */

struct pb_vfio_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};

struct pb_vfio_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif
#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#endif

/* vfio: dma-buf features ---------------------------------------------------- */

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF 11
#endif

struct pb_vfio_dma_range {
	__u64 offset;
	__u64 length;
};

struct pb_vfio_dma_buf {
	__u32 region_index;
	__u32 open_flags;
	__u32 flags;
#define PB_DMA_BUF_SYNC_IMPORTERS (1u << 0)
	__u32 nr_ranges;
	struct pb_vfio_dma_range ranges[];
};

/*
 * The series' two features, by the numbers that kernels give them: a row for
 * each edition, {revoke, memattr}, in the order in which they are tried. They
 * stand here and nowhere else. Ours lie outside of the kernel's own sequence
 * until upstream assigns some. What was posted publicly with numbers inside of
 * it has no row: other features have taken those since.
 */
#define PB_FEATURE_DMA_BUF_REVOKE  0x8000
#define PB_FEATURE_DMA_BUF_MEMATTR 0x8001
#define PB_FEATURE_EDITIONS	   {PB_FEATURE_DMA_BUF_REVOKE, PB_FEATURE_DMA_BUF_MEMATTR},

struct pb_vfio_dma_buf_revoke {
	__s32 dmabuf_fd;
};

struct pb_vfio_dma_buf_memattr {
	__s32 dmabuf_fd;
	__u32 memattr;
};

/* iommufd ------------------------------------------------------------------- */

#define PB_IOMMUFD_TYPE ';'

struct pb_iommu_destroy {
	__u32 size;
	__u32 id;
};
#define PB_IOMMU_DESTROY _IO(PB_IOMMUFD_TYPE, 0x80)

struct pb_iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
#define PB_IOMMU_IOAS_ALLOC _IO(PB_IOMMUFD_TYPE, 0x81)

struct pb_iommu_iova_range {
	__aligned_u64 start;
	__aligned_u64 last;
};

struct pb_iommu_ioas_iova_ranges {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 reserved;
	__aligned_u64 allowed_iovas;
	__aligned_u64 out_iova_alignment;
};
#define PB_IOMMU_IOAS_IOVA_RANGES _IO(PB_IOMMUFD_TYPE, 0x84)

struct pb_iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};
#define PB_IOMMU_IOAS_UNMAP _IO(PB_IOMMUFD_TYPE, 0x86)

#define PB_IOMMU_MAP_FIXED_IOVA (1u << 0)
#define PB_IOMMU_MAP_WRITEABLE	(1u << 1)
#define PB_IOMMU_MAP_READABLE	(1u << 2)

struct pb_iommu_ioas_map_file {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__s32 fd;
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define PB_IOMMU_IOAS_MAP_FILE _IO(PB_IOMMUFD_TYPE, 0x8f)

#endif /* PB_UAPI_H */
