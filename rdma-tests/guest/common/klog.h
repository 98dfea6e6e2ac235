/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Words for whoever scans the kernel log after a run. */
#ifndef GUEST_COMMON_KLOG_H
#define GUEST_COMMON_KLOG_H

/* What an IOMMU says when a device asks for what was taken from it. */
#define KLOG_DMA_FAULT "DMAR: (DRHD: handling fault status|\\[DMA (Read|Write) NO_PASID\\])"

/* Announces lines that are about to be provoked, until the test ends. */
void klog_expect(const char *regex);

#endif /* GUEST_COMMON_KLOG_H */
