// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What sysfs itself tells: networks, RDMA, displays, virtual functions, folders
 * that a hypervisor shares.
 */
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "pci.h"
#include "sysfs.h"
#include "use.h"
#include "util.h"

/* Network ---------------------------------------------------------------------- */

void pb_use_network(struct pb_use_check *check, int dir, const char *name)
{
	uint64_t flags;
	int ret;

	ret = pb_read_hex_at(dir, "flags", &flags);
	if (!ret && flags & IFF_UP) {
		pb_use_found(check, PEERBAR_USE_NETWORK, name, "the network interface %s is up",
			     name);
		return;
	}
	if (!ret)
		ret = pb_find_at(dir, "master");
	if (ret > 0)
		pb_use_found(check, PEERBAR_USE_NETWORK, name,
			     "the network interface %s is part of another", name);
	else if (ret)
		pb_use_failed(check, ret, name, "the network interface %s is up", name);
}

/* "4: ACTIVE", "5: ACTIVE_DEFER" (include/rdma/ib_verbs.h). */
static void look_at_port(struct pb_use_check *check, int ports, const char *name, const char *port)
{
	char path[64], state[32];
	int ret;

	snprintf(path, sizeof(path), "%.32s/state", port);
	ret = pb_read_at(ports, path, state, sizeof(state));
	if (ret)
		pb_use_failed(check, ret, name, "port %s of the RDMA device %s is active", port,
			      name);
	else if (*state == '4' || *state == '5')
		pb_use_found(check, PEERBAR_USE_RDMA, name,
			     "port %s of the RDMA device %s is active", port, name);
}

void pb_use_rdma(struct pb_use_check *check, int dir, const char *name)
{
	PB_AUTO_CLOSEDIR DIR *ports = pb_opendir_at(dir, "ports");
	struct dirent *entry;

	while (ports && (entry = pb_readdir(ports)))
		look_at_port(check, dirfd(ports), name, entry->d_name);
	if (errno)
		pb_use_failed(check, -errno, name, "the RDMA device %s is active", name);
}

/* Displays --------------------------------------------------------------------- */

void pb_use_connector(struct pb_use_check *check, int dir, const char *name)
{
	char enabled[32];
	int ret = pb_read_at(dir, "enabled", enabled, sizeof(enabled));

	/* Cards and render nodes have no such file. */
	if (ret && ret != -ENOENT)
		pb_use_failed(check, ret, name, "the display at %s is on", name);
	else if (!ret && !strcmp(enabled, "enabled"))
		pb_use_found(check, PEERBAR_USE_DISPLAY, name, "the display at %s is on", name);
}

/* 1 if a console of this kind is bound, 0 if not, or a negative errno. */
static int console_is(int consoles, const char *console, const char *kind)
{
	char path[64], text[64];
	int ret;

	snprintf(path, sizeof(path), "%.32s/bind", console);
	ret = pb_read_at(consoles, path, text, sizeof(text));
	if (ret || strcmp(text, "1"))
		return ret;
	snprintf(path, sizeof(path), "%.32s/name", console);
	ret = pb_read_at(consoles, path, text, sizeof(text));
	return ret ? ret : !!strstr(text, kind);
}

static int find_console(struct peerbar *pb, const char *kind)
{
	PB_AUTO_CLOSEDIR DIR *dir = pb_opendir_at(pb->sys_fd, "class/vtconsole");
	struct dirent *entry;
	int ret = 0;

	/* A kernel without virtual terminals. */
	if (!dir && errno == ENOENT)
		return 0;
	while (!ret && dir && (entry = pb_readdir(dir)))
		ret = console_is(dirfd(dir), entry->d_name, kind);
	return ret || !errno ? ret : -errno;
}

void pb_use_framebuffer(struct pb_use_check *check, int dir, const char *name)
{
	int ret = find_console(check->pb, "frame buffer");

	/* The console's own entry, of older kernels, is no framebuffer. */
	if (strncmp(name, "fb", 2) || !strcmp(name, "fbcon"))
		return;
	if (ret < 0)
		pb_use_failed(check, ret, name, "the console is on %s", name);
	else if (ret)
		pb_use_found(check, PEERBAR_USE_DISPLAY, name, "the console is on %s", name);
}

/*
 * A framebuffer that the firmware set up hangs below a platform device, so that
 * only by being the boot display the function is known to be the one it is on.
 */
static int find_firmware_framebuffer(struct peerbar *pb)
{
	PB_AUTO_CLOSEDIR DIR *dir = pb_opendir_at(pb->sys_fd, "class/graphics");
	char target[PATH_MAX];
	struct dirent *entry;
	ssize_t n;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = pb_readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue; /* no device, but an attribute of the class */
		target[n] = '\0';
		if (strstr(target, "/platform/"))
			return 1;
	}
	return -errno;
}

static void look_at_boot_display(struct pb_use_check *check)
{
	char boot[8];
	int ret = pb_read_at(check->dir, "boot_vga", boot, sizeof(boot));

	if (ret == -ENOENT || (!ret && strcmp(boot, "1")))
		return;
	if (!ret)
		ret = find_console(check->pb, "VGA");
	if (!ret)
		ret = find_firmware_framebuffer(check->pb);
	if (ret < 0)
		pb_use_failed(check, ret, "boot_vga", "the console is on it");
	else if (ret)
		pb_use_found(check, PEERBAR_USE_DISPLAY, "boot_vga",
			     "it is the boot display, and the console is on it");
}

/* The function ------------------------------------------------------------------ */

static void look_at_virtual_functions(struct pb_use_check *check)
{
	char number[16];
	int ret = pb_read_at(check->dir, "sriov_numvfs", number, sizeof(number));

	if (ret && ret != -ENOENT)
		pb_use_failed(check, ret, "sriov_numvfs", "it has virtual functions");
	else if (!ret && strcmp(number, "0"))
		pb_use_found(check, PEERBAR_USE_SRIOV, "sriov_numvfs",
			     "it has virtual functions: %s", number);
}

static void look_at_class_code(struct pb_use_check *check)
{
	uint64_t code;
	int ret = pb_read_hex_at(check->dir, "class", &code);

	if (ret)
		pb_use_failed(check, ret, "class", "it is a bridge");
	else if (pb_pci_is_bridge((uint32_t)code))
		pb_use_found(check, PEERBAR_USE_BRIDGE, "class",
			     "it is a bridge, which the devices behind it need");
}

void pb_use_function(struct pb_use_check *check)
{
	look_at_class_code(check);
	look_at_virtual_functions(check);
	look_at_boot_display(check);
}

/* Shared folders ----------------------------------------------------------------- */

static void look_for_share(struct pb_use_check *check, const char *type, const char *tag)
{
	const struct pb_mount_query query = {.type = type, .source = tag};
	char where[128];
	int ret;

	ret = pb_use_find_mount(check->pb, &query, where, sizeof(where));
	if (ret < 0)
		pb_use_failed(check, ret, tag, "the shared folder %s is mounted", tag);
	else if (ret)
		pb_use_found(check, PEERBAR_USE_SHARE, tag, "the shared folder %s is mounted on %s",
			     tag, where);
}

static void look_at_virtiofs(struct pb_use_check *check, DIR *all, const char *entry,
			     const char *name)
{
	char path[64], device[64], tag[64];
	int ret;

	snprintf(path, sizeof(path), "%.32s/device", entry);
	ret = pb_readlink_base_at(dirfd(all), path, device, sizeof(device));
	if (!ret && strcmp(device, name))
		return;
	snprintf(path, sizeof(path), "%.32s/tag", entry);
	if (!ret)
		ret = pb_read_at(dirfd(all), path, tag, sizeof(tag));
	if (ret)
		pb_use_failed(check, ret, name, "a shared folder of %s is mounted", name);
	else
		look_for_share(check, "virtiofs", tag);
}

static void look_for_virtiofs(struct pb_use_check *check, const char *name)
{
	PB_AUTO_CLOSEDIR DIR *all = pb_opendir_at(check->pb->sys_fd, "fs/virtiofs");
	struct dirent *entry;

	if (!all && errno == ENOENT)
		return;
	while (all && (entry = pb_readdir(all)))
		look_at_virtiofs(check, all, entry->d_name, name);
	if (errno)
		pb_use_failed(check, -errno, name, "a shared folder of %s is mounted", name);
}

void pb_use_virtio(struct pb_use_check *check, int dir, const char *name)
{
	char tag[64];
	int ret = pb_read_at(dir, "mount_tag", tag, sizeof(tag));

	if (!ret)
		look_for_share(check, "9p", tag);
	else if (ret != -ENOENT)
		pb_use_failed(check, ret, name, "a shared folder of %s is mounted", name);
	look_for_virtiofs(check, name);
}
