// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <string.h>

#include "device.h"
#include "util.h"

struct pb_space *pb_space_get(struct pb_space *space)
{
	__atomic_fetch_add(&space->refs, 1, __ATOMIC_RELAXED);
	return space;
}

void pb_space_put(struct pb_space *space)
{
	if (__atomic_sub_fetch(&space->refs, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_destroy(&space->lock);
	free(space);
}

static struct pb_space *find_space(struct peerbar *pb, const struct pb_backend *backend, int group)
{
	struct pb_space *space;

	if (group < 0)
		return NULL;
	for (space = pb->spaces; space; space = space->next) {
		if (space->backend == backend && space->group == group)
			return space;
	}
	return NULL;
}

static int new_space(struct peerbar *pb, const struct pb_backend *backend,
		     const struct pb_site *site, struct pb_space **out)
{
	struct pb_space *space;
	int ret;

	space = calloc(1, sizeof(*space));
	if (!space)
		return -ENOMEM;
	space->backend = backend;
	space->group = site->group;
	space->container_fd = -1;
	space->group_fd = -1;
	space->refs = 1;
	pthread_mutex_init(&space->lock, NULL);
	ret = backend->space_init(pb, site, space);
	if (ret) {
		pb_space_put(space);
		return ret;
	}
	space->next = pb->spaces;
	pb->spaces = space;
	*out = space;
	return 0;
}

/*
 * vfio refuses a second opener of a character device by itself, but hands out
 * a group's device any number of times.
 */
static int check_not_open(const struct pb_space *space, const struct peerbar_device *dev)
{
	const struct peerbar_device *other;

	for (other = space->devices; other; other = other->next) {
		if (!strcmp(other->address, dev->address))
			return pb_fail(dev->pb, -EBUSY, "cannot open %s: this context has it open",
				       dev->address);
	}
	return 0;
}

static int join_locked(struct peerbar_device *dev, const struct pb_site *site)
{
	struct pb_space *space;
	int ret;

	space = find_space(dev->pb, dev->backend, site->group);
	if (space)
		ret = check_not_open(space, dev);
	else
		ret = new_space(dev->pb, dev->backend, site, &space);
	if (ret)
		return ret;
	if (space->devices)
		pb_space_get(space);
	dev->space = space;
	dev->next = space->devices;
	space->devices = dev;
	return 0;
}

int pb_space_join(struct peerbar_device *dev, const struct pb_site *site)
{
	int ret;

	pthread_mutex_lock(&dev->pb->lock);
	ret = join_locked(dev, site);
	pthread_mutex_unlock(&dev->pb->lock);
	return ret;
}

static void unlink_device(struct peerbar_device *dev)
{
	struct peerbar_device **link = &dev->space->devices;

	while (*link != dev)
		link = &(*link)->next;
	*link = dev->next;
}

static void unlink_space(struct peerbar *pb, struct pb_space *space)
{
	struct pb_space **link = &pb->spaces;

	while (*link != space)
		link = &(*link)->next;
	*link = space->next;
}

/* Nobody sees anything by it any more; the mappings in it just have to know. */
static void end_space(struct peerbar *pb, struct pb_space *space)
{
	unlink_space(pb, space);
	space->backend->space_exit(pb, space);
	pthread_mutex_lock(&space->lock);
	space->gone = true;
	pthread_mutex_unlock(&space->lock);
}

void pb_space_leave(struct peerbar_device *dev)
{
	struct pb_space *space = dev->space;

	if (!space)
		return;
	pthread_mutex_lock(&dev->pb->lock);
	unlink_device(dev);
	if (!space->devices)
		end_space(dev->pb, space);
	pthread_mutex_unlock(&dev->pb->lock);
	pb_space_put(space);
	dev->space = NULL;
}
