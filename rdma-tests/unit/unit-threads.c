// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the header promises about threads: several at once with handles of the
 * same parent. Built with ThreadSanitizer where there is one.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fakefixture.h"
#include "util.h"

#define THREADS 4
#define ROUNDS	300
#define HELD	16

static struct peerbar *pb;
static struct peerbar_device *devices[2];

struct worker {
	pthread_t thread;
	unsigned int number;
	unsigned int wrong;
};

/* A buffer of one's own, mapped for both devices; addresses come from all threads. */
static void *map_and_unmap(void *arg)
{
	struct worker *worker = arg;
	struct peerbar_device *dev = devices[worker->number % 2];
	struct peerbar_buffer *buf = export_slice(devices[0]);
	struct peerbar_iova_map *held[HELD] = {};

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct peerbar_iova_map **map = &held[i * 7 % HELD];

		peerbar_iova_unmap(*map);
		*map = NULL;
		/* The played kernel refuses an address that is taken. */
		if (peerbar_iova_map(dev, buf, 0x1000 * (i % 8), 0x1000 * (1 + i % 5), NULL, map))
			worker->wrong++;
	}
	for (unsigned int i = 0; i < HELD; i++)
		peerbar_iova_unmap(held[i]);
	peerbar_buffer_close(buf);
	return NULL;
}

/* Buffers of one device, made, used and given back by all. */
static void *export_and_revoke(void *arg)
{
	struct worker *worker = arg;

	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		struct peerbar_buffer *buf = export_slice(devices[0]);
		struct peerbar_mapping *map;

		worker->wrong += !!peerbar_map(buf, 0, 0x1000, NULL, &map);
		peerbar_unmap(map);
		worker->wrong += !!peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC);
		worker->wrong += !!peerbar_buffer_revoke(buf);
		peerbar_buffer_close(buf);
	}
	return NULL;
}

/* A device of one's own opened and closed meanwhile: the list of spaces changes. */
static void *open_and_close(void *arg)
{
	static const char *const addresses[THREADS] = {FAKE_MEM, FAKE_REG, FAKE_NIC, FAKE_IDLE};
	struct worker *worker = arg;

	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		struct peerbar_device_caps caps = {.size = sizeof(caps)};
		struct peerbar_device *dev;
		int ret = peerbar_device_open(pb, addresses[worker->number], NULL, &dev);

		if (worker->number > 1) {
			worker->wrong += ret != -ENXIO;
			continue;
		}
		worker->wrong += !!ret;
		if (ret)
			continue;
		worker->wrong += !!peerbar_device_caps(dev, &caps);
		peerbar_device_close(dev);
	}
	return NULL;
}

/* A device closed by one while others use its buffers: done, or ENODEV. */
static struct peerbar_buffer *shared[THREADS];

static void *use_while_closing(void *arg)
{
	struct worker *worker = arg;
	struct peerbar_buffer *buf = shared[worker->number];
	int ret;

	if (!worker->number) {
		peerbar_device_close(devices[0]);
		return NULL;
	}
	do {
		ret = peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC);
		worker->wrong += ret && ret != -ENODEV;
	} while (!ret);
	worker->wrong += peerbar_buffer_revoke(buf) != -ENODEV;
	peerbar_buffer_close(buf);
	return NULL;
}

static void run(void *(*work)(void *arg), const char *name)
{
	struct worker workers[THREADS];
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.number = i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			bail_out("no thread");
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		wrong += workers[i].wrong;
	}
	is_int(wrong, 0, "%s", name);
}

int main(void)
{
	fake_machine();
	pb = fake_open();
	run(open_and_close, "opening and closing devices");
	is_int(fake.live_ioas, 0, "no address space is left");
	devices[0] = open_device(pb, FAKE_MEM);
	devices[1] = open_device(pb, FAKE_REG);
	run(map_and_unmap, "DMA mappings of two devices");
	is_int(fake.maps, 0, "none is left");
	run(export_and_revoke, "buffers of one device");
	for (unsigned int i = 1; i < THREADS; i++)
		shared[i] = export_slice(devices[0]);
	run(use_while_closing, "buffers whose device is being closed");
	peerbar_device_close(devices[1]);
	peerbar_close(pb);
	is_int(fake.misuses, 0, "nothing was asked for that no caller should");
	return done_testing();
}
