// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "backend.h"
#include "util.h"

static struct pb_space *find_space(struct peerbar *pb,
				   const struct pb_backend *backend, int group)
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
	ret = backend->space_init(pb, site, space);
	if (ret) {
		free(space);
		return ret;
	}
	space->next = pb->spaces;
	pb->spaces = space;
	*out = space;
	return 0;
}

int pb_space_get(struct peerbar *pb, const struct pb_backend *backend,
		 const struct pb_site *site, struct pb_space **out)
{
	struct pb_space *space;
	int ret = 0;

	pthread_mutex_lock(&pb->lock);
	space = find_space(pb, backend, site->group);
	if (!space)
		ret = new_space(pb, backend, site, &space);
	if (!ret) {
		space->users++;
		*out = space;
	}
	pthread_mutex_unlock(&pb->lock);
	return ret;
}

static void unlink_space(struct peerbar *pb, struct pb_space *space)
{
	struct pb_space **link = &pb->spaces;

	while (*link != space)
		link = &(*link)->next;
	*link = space->next;
}

void pb_space_put(struct peerbar *pb, struct pb_space *space)
{
	if (!space)
		return;
	pthread_mutex_lock(&pb->lock);
	if (!--space->users) {
		unlink_space(pb, space);
		space->backend->space_exit(pb, space);
		free(space);
	}
	pthread_mutex_unlock(&pb->lock);
}
