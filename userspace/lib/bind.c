// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Binding by driver_override: it names a driver for this one device, whereas
 * new_id would hand vfio-pci every device of the kind.
 *
 * Whatever the moment in which a process dies here, it has left a record that
 * tells the next one what to put back.
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "pci.h"
#include "pciaddr.h"
#include "sysfs.h"
#include "use.h"
#include "util.h"

#define KNOWN_BIND_FLAGS (PEERBAR_BIND_FORCE | PEERBAR_BIND_GROUP | PEERBAR_BIND_DRY_RUN)

/* One bind: the devices that it is about, and how it is to be done. */
struct request {
	struct peerbar *pb;
	uint64_t flags;
	const char *driver;
	struct target *targets;
	size_t count;
};

struct target {
	char address[PEERBAR_ADDRESS_MAX];
	int dir;
	bool done; /* bound by this request */
	struct pb_binding before;
};

/* One device ----------------------------------------------------------------- */

static const char *driver_of(const struct request *request)
{
	return request->driver ? request->driver : "vfio-pci";
}

static int check_driver(struct peerbar *pb, const char *driver)
{
	char path[sizeof("bus/pci/drivers/") + PB_DRIVER_MAX];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s", driver);
	if (!faccessat(pb->sys_fd, path, F_OK, 0))
		return 0;
	if (errno != ENOENT)
		return pb_fail(pb, -errno, "cannot look for the driver %s", driver);
	return pb_fail(pb, -ENOENT, "there is no driver %s: modprobe %s", driver, driver);
}

/*
 * If a former bind was interrupted, what it noted is what to go back to. A
 * record of anything else is about a time that is over.
 */
static void choose_record(const struct request *request, struct pb_binding *before)
{
	if (!before->recorded || !pb_binding_interrupted(before)) {
		strcpy(before->record.override, before->override);
		strcpy(before->record.driver, before->driver);
	}
	strcpy(before->record.vfio, driver_of(request));
	before->recorded = true;
}

static int check_bound(const struct request *request, const struct target *target)
{
	struct pb_binding now;
	int ret;

	ret = pb_binding_read(request->pb, target->dir, target->address, &now);
	if (ret)
		return ret;
	if (!now.info.vfio_bound)
		return pb_fail(request->pb, -EIO,
			       "%s did not take %s: the kernel log says why (is the IOMMU on?)",
			       driver_of(request), target->address);
	return 0;
}

static int take(const struct request *request, const struct target *target)
{
	struct peerbar *pb = request->pb;
	int ret;

	ret = pb_binding_set_override(pb, target->dir, target->address, driver_of(request));
	if (!ret)
		ret = pb_binding_release(pb, target->dir, target->address);
	if (!ret)
		ret = pb_binding_probe(pb, target->address);
	return ret ? ret : check_bound(request, target);
}

static void give_back(const struct request *request, struct target *target)
{
	if (pb_binding_give_back(request->pb, target->dir, &target->before, PB_FORMER_EXACTLY))
		pb_log(request->pb, PEERBAR_LOG_ERROR,
		       "%s could not be given back to %s: unbind it to try again", target->address,
		       *target->before.record.driver ? target->before.record.driver : "nobody");
	target->done = false;
}

static int bind_target(const struct request *request, struct target *target)
{
	struct peerbar *pb = request->pb;
	int ret;

	if (target->before.info.vfio_bound)
		return 0;
	choose_record(request, &target->before);
	ret = pb_record_write(pb, target->address, &target->before.record);
	if (ret)
		return pb_fail(pb, ret == -EPERM || ret == -EROFS ? -EACCES : ret,
			       "cannot note in %s/peerbar what %s was like: it takes root", pb->run,
			       target->address);
	ret = take(request, target);
	if (ret)
		give_back(request, target);
	else
		target->done = true;
	return ret;
}

/* What is to be bound -------------------------------------------------------- */

static int add_target(struct request *request, const char *address)
{
	struct target *target, *grown;

	grown = realloc(request->targets, (request->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	request->targets = grown;
	target = &grown[request->count];
	memset(target, 0, sizeof(*target));
	snprintf(target->address, sizeof(target->address), "%s", address);
	target->dir = pb_pci_open_dir(request->pb, address);
	if (target->dir < 0)
		return pb_fail(request->pb, target->dir, "%s has gone", address);
	request->count++;
	return pb_binding_read(request->pb, target->dir, address, &target->before);
}

/* vfio takes no bridges, and does not mind those that are in a group. */
static int add_member(struct request *request, const char *name)
{
	char address[PEERBAR_ADDRESS_MAX];
	int ret;

	/* A group may have devices of other buses. */
	if (pb_address_parse(name, address))
		return 0;
	ret = add_target(request, address);
	if (!ret && pb_pci_is_bridge(request->targets[request->count - 1].before.info.class_code))
		pb_close_fd(request->targets[--request->count].dir);
	return ret;
}

static int add_group(struct request *request, const char *address)
{
	PB_AUTO_CLOSE int dir = pb_pci_open_dir(request->pb, address);
	PB_AUTO_CLOSEDIR DIR *devices = NULL;
	struct dirent *entry;
	int ret = 0;

	devices = dir < 0 ? NULL : pb_opendir_at(dir, "iommu_group/devices");
	/* In no group, which is vfio's to refuse. */
	if (dir >= 0 && !devices && errno == ENOENT)
		return add_target(request, address);
	while (!ret && devices && (entry = pb_readdir(devices)))
		ret = add_member(request, entry->d_name);
	if (!ret && errno)
		ret = pb_fail(request->pb, -errno, "cannot list the IOMMU group of %s", address);
	return ret;
}

static int check_target(const struct request *request, const struct target *target)
{
	const struct peerbar_device_info *info = &target->before.info;
	struct peerbar *pb = request->pb;
	int ret;

	if (info->vfio_bound &&
	    (!request->driver || !strcmp(target->before.driver, request->driver)))
		return 0;
	if (info->vfio_bound)
		return pb_fail(pb, -EEXIST, "%s is bound to %s: unbind it first", info->address,
			       target->before.driver);
	if (pb_pci_is_bridge(info->class_code))
		return pb_fail(
			pb, -EOPNOTSUPP,
			"%s is a bridge, which vfio does not take: bind the devices behind it",
			target->address);
	ret = check_driver(pb, driver_of(request));
	if (ret || request->flags & PEERBAR_BIND_FORCE)
		return ret;
	return pb_use_refuse(pb, target->dir, target->address, "bind");
}

static int check_targets(const struct request *request)
{
	int ret = 0;

	for (size_t i = 0; i < request->count && !ret; i++)
		ret = check_target(request, &request->targets[i]);
	return ret;
}

/* All or nothing: those that were bound are given back when one cannot be. */
static int bind_targets(const struct request *request)
{
	int ret = 0;

	for (size_t i = 0; i < request->count && !ret; i++)
		ret = bind_target(request, &request->targets[i]);
	for (size_t i = request->count; ret && i--;)
		if (request->targets[i].done)
			give_back(request, &request->targets[i]);
	return ret;
}

static int bind_request(struct request *request, const char *address)
{
	struct peerbar_device_info info;
	int ret;

	ret = peerbar_device_lookup(request->pb, address, &info);
	if (ret)
		return ret;
	if (request->flags & PEERBAR_BIND_GROUP)
		ret = add_group(request, info.address);
	else
		ret = add_target(request, info.address);
	if (!ret)
		ret = check_targets(request);
	if (!ret && !(request->flags & PEERBAR_BIND_DRY_RUN))
		ret = bind_targets(request);
	return ret;
}

static int read_bind_options(const struct peerbar_bind_options *options, struct request *request)
{
	int ret;

	if (!options)
		return 0;
	ret = pb_check_options(options, options->size,
			       PB_OFFSETOFEND(struct peerbar_bind_options, flags),
			       sizeof(*options));
	if (ret)
		return ret;
	if (options->flags & ~(uint64_t)KNOWN_BIND_FLAGS)
		return -EINVAL;
	request->flags = options->flags;
	request->driver = options->driver;
	if (request->driver && (!*request->driver || strlen(request->driver) >= PB_DRIVER_MAX ||
				strpbrk(request->driver, "/\n") || *request->driver == '.'))
		return -EINVAL;
	return 0;
}

int peerbar_device_bind(struct peerbar *pb, const char *address,
			const struct peerbar_bind_options *options)
{
	struct request request = {.pb = pb};
	int ret;

	if (!pb)
		return -EINVAL;
	ret = read_bind_options(options, &request);
	if (ret)
		return pb_fail(pb, ret, "bad options for binding a device");
	ret = bind_request(&request, address);
	for (size_t i = 0; i < request.count; i++)
		pb_close_fd(request.targets[i].dir);
	free(request.targets);
	return ret;
}

/* Unbinding ------------------------------------------------------------------ */

static int check_unbind_options(const struct peerbar_unbind_options *options, uint64_t *flags)
{
	int ret;

	*flags = 0;
	if (!options)
		return 0;
	ret = pb_check_options(options, options->size,
			       PB_OFFSETOFEND(struct peerbar_unbind_options, flags),
			       sizeof(*options));
	if (ret)
		return ret;
	if (options->flags & ~(uint64_t)PEERBAR_UNBIND_FORCE)
		return -EINVAL;
	*flags = options->flags;
	return 0;
}

static int unbind(struct peerbar *pb, int dir, const char *address, uint64_t flags)
{
	struct pb_binding binding;
	int ret;

	ret = pb_binding_read(pb, dir, address, &binding);
	if (ret)
		return ret;
	if (!binding.info.vfio_bound && !pb_binding_interrupted(&binding))
		/* Others may have taken it from vfio since: the record is of no use. */
		return binding.recorded ? pb_record_remove(pb, address) : 0;
	if (binding.info.vfio_bound && !(flags & PEERBAR_UNBIND_FORCE))
		ret = pb_use_refuse(pb, dir, address, "unbind");
	if (!ret)
		ret = pb_binding_give_back(pb, dir, &binding, PB_FORMER_OR_ANY);
	return ret;
}

int peerbar_device_unbind(struct peerbar *pb, const char *address,
			  const struct peerbar_unbind_options *options)
{
	struct peerbar_device_info info;
	PB_AUTO_CLOSE int dir = -1;
	uint64_t flags;
	int ret;

	if (!pb)
		return -EINVAL;
	ret = check_unbind_options(options, &flags);
	if (ret)
		return pb_fail(pb, ret, "bad options for unbinding a device");
	dir = pb_pci_find(pb, address, &info);
	if (dir < 0)
		return dir;
	return unbind(pb, dir, info.address, flags);
}
