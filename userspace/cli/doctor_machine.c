/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the machine has, whatever devices are in it. */
#include <stdio.h>
#include <unistd.h>

#include "doctor.h"

static struct finding *add(struct doctor *doctor, bool yes, const char *id, const char *ability)
{
	return finding_add(doctor, GROUP_MACHINE, yes ? ANSWER_YES : ANSWER_NO, id, ability);
}

static void examine_iommu(struct doctor *doctor)
{
	struct finding *finding = add(doctor, doctor->caps.iommu, "iommu", "IOMMU");

	if (doctor->caps.iommu) {
		finding_why(finding, "it is on; devices can be kept to the memory they are given");
		return;
	}
	finding_why(finding, "the kernel drives none, so vfio-pci takes no device");
	finding_fix(finding, "turn on VT-d or AMD-Vi in the firmware; on Intel, boot with "
			     "intel_iommu=on; in a virtual machine, give it a virtual IOMMU");
}

static void examine_vfio_pci(struct doctor *doctor)
{
	struct finding *finding = add(doctor, doctor->caps.vfio_pci, "vfio-pci", "vfio-pci driver");

	if (doctor->caps.vfio_pci) {
		finding_why(finding, "it is loaded; `peerbar bind` can hand it devices");
		return;
	}
	finding_why(finding, "it is not loaded");
	finding_fix(finding, "modprobe vfio-pci; if there is no such module, a kernel with "
			     "CONFIG_VFIO_PCI");
}

static void examine_nodes(struct doctor *doctor)
{
	const struct peerbar_system_caps *caps = &doctor->caps;
	bool modern = caps->vfio_cdev && caps->iommufd;
	struct finding *finding = add(doctor, modern || caps->vfio_group, "vfio-access",
				      "way to open devices");

	if (modern) {
		finding_why(finding, "vfio character devices and iommufd%s",
			    caps->vfio_group ? " (groups and containers as well)" : "");
		return;
	}
	if (caps->vfio_group) {
		finding_why(finding, "groups and containers (%s)",
			    caps->iommufd ? "vfio has no character devices" : "no iommufd");
		return;
	}
	finding_why(finding, "there is neither /dev/vfio/vfio nor vfio-dev with /dev/iommu");
	finding_fix(finding, "modprobe vfio-pci, and iommufd where the kernel has it");
}

static void examine_iommufd(struct doctor *doctor)
{
	const struct peerbar_system_caps *caps = &doctor->caps;
	struct finding *finding = add(doctor, caps->vfio_cdev && caps->iommufd, "iommufd",
				      "iommufd");

	if (finding->answer == ANSWER_YES) {
		finding_why(finding, "one device's memory can be mapped for another's DMA");
		return;
	}
	finding_why(finding, caps->iommufd ? "vfio has no character devices to bind to it" :
					     "there is no /dev/iommu");
	finding_fix(finding, caps->iommufd ? "a kernel with CONFIG_VFIO_DEVICE_CDEV" :
					     "modprobe iommufd; if there is no such module, a "
					     "kernel with CONFIG_IOMMUFD");
}

static void examine_wc(struct doctor *doctor)
{
	struct finding *finding = add(doctor, doctor->caps.pat_wc, "cpu-wc", "write-combining");

	if (doctor->caps.pat_wc) {
		finding_why(finding, "the CPU and this kernel know the memory type");
		return;
	}
	finding_why(finding, "the kernel does not use the page attribute table (PAT)");
	finding_fix(finding, "boot without nopat; a kernel with CONFIG_X86_PAT");
}

static void examine_ptdump(struct doctor *doctor)
{
	bool hidden = !doctor->caps.ptdump && geteuid();
	struct finding *finding = finding_add(doctor, GROUP_MACHINE,
					      doctor->caps.ptdump ? ANSWER_YES :
					      hidden ? ANSWER_UNKNOWN : ANSWER_NO,
					      "ptdump", "page-table dump");

	if (doctor->caps.ptdump) {
		finding_why(finding, "root can read what memory type a mapping really has");
		return;
	}
	if (hidden) {
		finding_why(finding, "only root can see whether there is one");
		finding_fix(finding, "sudo peerbar doctor");
		return;
	}
	finding_why(finding, "there is no page_tables/current_kernel in debugfs that can be read");
	finding_fix(finding, "mount debugfs on /sys/kernel/debug; if it is there, a kernel with "
			     "CONFIG_PTDUMP_DEBUGFS that is not locked down");
}

void doctor_examine_machine(struct doctor *doctor)
{
	examine_iommu(doctor);
	examine_vfio_pci(doctor);
	examine_nodes(doctor);
	examine_iommufd(doctor);
	examine_wc(doctor);
	examine_ptdump(doctor);
}
