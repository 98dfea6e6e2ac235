// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "context.h"
#include "sysfs.h"
#include "util.h"

/* True if a whole word of a line of @path starting with @key is @word. */
static bool file_line_has_word(int dir, const char *path, const char *key, const char *word)
{
	PB_AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	char *line = NULL, *save, *token;
	bool found = false;
	size_t room = 0;
	FILE *file;

	if (fd < 0)
		return false;
	file = fdopen(fd, "re");
	if (!file)
		return false;
	pb_take_fd(&fd);
	while (!found && getline(&line, &room, file) >= 0) {
		if (strncmp(line, key, strlen(key)))
			continue;
		for (token = strtok_r(line, " \t\n", &save); token && !found;
		     token = strtok_r(NULL, " \t\n", &save))
			found = !strcmp(token, word);
	}
	free(line);
	fclose(file);
	return found;
}

/*
 * vfio registers its character devices by these names when it is loaded, the
 * second one only with CONFIG_VFIO_DEVICE_CDEV (drivers/vfio/device_cdev.c).
 */
static bool has_char_device(struct peerbar *pb, const char *name)
{
	return file_line_has_word(pb->proc_fd, "devices", "", name);
}

/*
 * The CPU's flag says that it has a PAT; whether the kernel uses it shows in
 * debugfs, for those who may look: the list exists only when it does
 * (arch/x86/mm/pat/memtype.c). Elsewhere WC is part of the architecture.
 */
static bool has_wc(struct peerbar *pb)
{
#if defined(__x86_64__) || defined(__i386__)
	if (pb_exists_at(pb->sys_fd, "kernel/debug/x86"))
		return pb_exists_at(pb->sys_fd, "kernel/debug/x86/pat_memtype_list");
	return file_line_has_word(pb->proc_fd, "cpuinfo", "flags", "pat");
#else
	return true;
#endif
}

int peerbar_system_caps(struct peerbar *pb, struct peerbar_system_caps *caps)
{
	struct peerbar_system_caps found = {.size = sizeof(found)};
	struct utsname uts;

	if (!pb || !caps)
		return -EINVAL;
	if (uname(&uts))
		return pb_fail(pb, -errno, "cannot ask for the kernel release");
	found.iommu = pb_dir_populated_at(pb->sys_fd, "class/iommu") ||
		      pb_dir_populated_at(pb->sys_fd, "kernel/iommu_groups");
	found.vfio_pci = pb_exists_at(pb->sys_fd, "bus/pci/drivers/vfio-pci");
	found.vfio_group = pb_exists_at(pb->dev_fd, "vfio/vfio");
	found.vfio_cdev = has_char_device(pb, "vfio-dev");
	found.iommufd = pb_exists_at(pb->dev_fd, "iommu");
	found.pat_wc = has_wc(pb);
	found.ptdump = pb_exists_at(pb->sys_fd, "kernel/debug/page_tables/current_kernel");
	snprintf(found.kernel_release, sizeof(found.kernel_release), "%.64s", uts.release);
	return pb_fill_caps(caps, &found,
			    PB_OFFSETOFEND(struct peerbar_system_caps, kernel_release),
			    sizeof(found));
}
