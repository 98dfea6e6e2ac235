// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "context.h"
#include "sysfs.h"
#include "util.h"

/* Is a whole word of a line starting with @key @word? Ends the file's life. */
static int lines_have_word(FILE *file, const char *key, const char *word)
{
	char *line = NULL, *save, *token;
	int found = PB_NO;
	size_t room = 0;

	errno = 0;
	while (found == PB_NO && getline(&line, &room, file) >= 0) {
		if (strncmp(line, key, strlen(key)))
			continue;
		for (token = strtok_r(line, " \t\n", &save); token && found == PB_NO;
		     token = strtok_r(NULL, " \t\n", &save))
			found = strcmp(token, word) ? PB_NO : PB_YES;
	}
	if (found == PB_NO && !feof(file))
		found = errno ? -errno : -EIO;
	free(line);
	fclose(file);
	return found;
}

static int file_line_has_word(int dir, const char *path, const char *key, const char *word)
{
	PB_AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	FILE *file;

	if (fd < 0)
		return errno == ENOENT ? PB_NO : -errno;
	file = fdopen(fd, "re");
	if (!file)
		return -errno;
	pb_take_fd(&fd);
	return lines_have_word(file, key, word);
}

/*
 * vfio registers its character devices by these names when it is loaded, the
 * second one only with CONFIG_VFIO_DEVICE_CDEV (drivers/vfio/device_cdev.c).
 */
static int has_char_device(struct peerbar *pb, const char *name)
{
	return file_line_has_word(pb->proc_fd, "devices", "", name);
}

static int has_iommu(struct peerbar *pb)
{
	int ret = pb_dir_populated_at(pb->sys_fd, "class/iommu");

	return ret == PB_NO ? pb_dir_populated_at(pb->sys_fd, "kernel/iommu_groups") : ret;
}

/*
 * The CPU's flag says that it has a PAT; whether the kernel uses it shows in
 * debugfs, for those who may look: the list exists only when it does
 * (arch/x86/mm/pat/memtype.c). Elsewhere WC is part of the architecture.
 */
static int has_wc(struct peerbar *pb)
{
#if defined(__x86_64__) || defined(__i386__)
	int debugfs = pb_find_at(pb->sys_fd, "kernel/debug/x86");

	if (debugfs == PB_YES)
		return pb_find_at(pb->sys_fd, "kernel/debug/x86/pat_memtype_list");
	if (debugfs < 0 && debugfs != -EACCES)
		return debugfs;
	return file_line_has_word(pb->proc_fd, "cpuinfo", "flags", "pat");
#else
	return PB_YES;
#endif
}

/* A kernel that is locked down has the file, but lets nobody open it. */
static int has_ptdump(struct peerbar *pb)
{
	PB_AUTO_CLOSE int fd =
		openat(pb->sys_fd, "kernel/debug/page_tables/current_kernel", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return PB_YES;
	return errno == ENOENT || errno == EACCES || errno == EPERM ? PB_NO : -errno;
}

static int find_caps(struct peerbar *pb, struct peerbar_system_caps *caps)
{
	const struct {
		const char *what;
		bool *cap;
		int found;
	} answers[] = {
		{"an IOMMU", &caps->iommu, has_iommu(pb)},
		{"vfio-pci", &caps->vfio_pci, pb_find_at(pb->sys_fd, "bus/pci/drivers/vfio-pci")},
		{"vfio groups", &caps->vfio_group, pb_find_at(pb->dev_fd, "vfio/vfio")},
		{"vfio character devices", &caps->vfio_cdev, has_char_device(pb, "vfio-dev")},
		{"iommufd", &caps->iommufd, pb_find_at(pb->dev_fd, "iommu")},
		{"a PAT", &caps->pat_wc, has_wc(pb)},
		{"a page table dump", &caps->ptdump, has_ptdump(pb)},
	};

	for (size_t i = 0; i < PB_ARRAY_SIZE(answers); i++) {
		if (answers[i].found < 0)
			return pb_fail(pb, answers[i].found,
				       "cannot find out whether the machine has %s",
				       answers[i].what);
		*answers[i].cap = answers[i].found;
	}
	return 0;
}

int peerbar_system_caps(struct peerbar *pb, struct peerbar_system_caps *caps)
{
	struct peerbar_system_caps found = {.size = sizeof(found)};
	struct utsname uts;
	int ret;

	if (!pb || !caps)
		return -EINVAL;
	if (uname(&uts))
		return pb_fail(pb, -errno, "cannot ask for the kernel release");
	ret = find_caps(pb, &found);
	if (ret)
		return ret;
	snprintf(found.kernel_release, sizeof(found.kernel_release), "%.64s", uts.release);
	return pb_fill_caps(caps, &found,
			    PB_OFFSETOFEND(struct peerbar_system_caps, kernel_release),
			    sizeof(found));
}
