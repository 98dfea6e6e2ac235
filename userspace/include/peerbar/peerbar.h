/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/**
 * DOC: libpeerbar
 *
 * Slices of a PCI BAR as dma-bufs: export them, choose the memory type of
 * their CPU mappings, map them, give them to RDMA NICs and other devices,
 * and take them back.
 *
 * Conventions, stated once:
 *
 * - Functions that can fail return 0 or a negative errno, and leave errno
 *   itself undefined. Output pointers are written on success only. Nothing
 *   exits, aborts or prints; messages for a person go to the log callback of
 *   the context, and say what was tried, what failed and what to do.
 * - The errnos that a function names are those with a meaning of their own. Any
 *   other is the kernel's, passed on as it is. -ENOMEM is possible wherever a
 *   handle is made, -EMFILE and -ENFILE wherever a descriptor is, and -EINVAL
 *   wherever a required pointer is NULL. A failure is never reported as a "no".
 * - Close functions take NULL, never fail and leave errno alone. Every
 *   descriptor is O_CLOEXEC.
 * - Option structs begin with their size (set it with sizeof); a larger struct
 *   than the library knows is accepted only when what it does not know is zero
 *   (-E2BIG otherwise), a smaller one than the first release's, or one above
 *   4096 bytes, is -EINVAL: a size that was never set.
 *   Unknown values are refused with -EINVAL. NULL means defaults, and so does
 *   a struct of which only the size is set. Structs that are filled in work
 *   the same way: set the size, and what the library does not know becomes 0.
 * - A handle may be used by one thread at a time; different handles may be used
 *   by different threads at once, even with the same parent. Opening and
 *   closing a child does not count as using the parent. The context must
 *   outlive all else; what needs a device that was closed is -ENODEV.
 * - No function is async-signal-safe. The primitives of peerbar/mmio.h are.
 * - After fork() the child may use mappings and descriptors, and nothing else of
 *   what it inherited.
 * - Sizes and offsets are bytes. "A page" is sysconf(_SC_PAGESIZE) bytes.
 */
#ifndef PEERBAR_PEERBAR_H
#define PEERBAR_PEERBAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* A PCI function has at most this many BARs; a 64-bit one counts twice. */
#define PEERBAR_NUM_BARS 6
/* Longest PCI address, "dddddddd:bb:dd.f", with its NUL. */
#define PEERBAR_ADDRESS_MAX 17

struct peerbar;
struct peerbar_device;
struct peerbar_buffer;
struct peerbar_mapping;
struct peerbar_iova_map;

/* Contexts ----------------------------------------------------------------- */

/**
 * enum peerbar_log_level - how much a message matters
 * @PEERBAR_LOG_ERROR: why a function is about to fail
 * @PEERBAR_LOG_INFO: something works less well than it could
 * @PEERBAR_LOG_DEBUG: what the library does
 */
enum peerbar_log_level {
	PEERBAR_LOG_ERROR,
	PEERBAR_LOG_INFO,
	PEERBAR_LOG_DEBUG,
};

/**
 * typedef peerbar_log_fn - takes the library's messages
 * @arg: log_arg of struct peerbar_options
 * @level: how much it matters
 * @message: one line without a newline; the library's, gone after the call
 *
 * Called by the thread that is inside a library function, so possibly by
 * several at once, and possibly with locks of the library held: it must not
 * call the library. It need not preserve errno.
 */
typedef void (*peerbar_log_fn)(void *arg, enum peerbar_log_level level, const char *message);

/**
 * struct peerbar_options - how to open a context
 * @size: sizeof(struct peerbar_options)
 * @log: takes messages; NULL: they are dropped
 * @log_arg: first argument of @log
 */
struct peerbar_options {
	size_t size;
	peerbar_log_fn log;
	void *log_arg;
};

/**
 * peerbar_open - make a context
 * @options: NULL for defaults
 * @out: the context; the caller's, until peerbar_close()
 *
 * Needs no privileges and touches no device.
 *
 * Return: 0, or a negative errno: -ENOENT /sys, /dev or /proc is missing;
 * -EINVAL or -E2BIG bad options.
 */
int peerbar_open(const struct peerbar_options *options, struct peerbar **out);

/**
 * peerbar_close - give a context back
 * @pb: the context, whose devices and buffers have all been closed; or NULL
 */
void peerbar_close(struct peerbar *pb);

/**
 * peerbar_version - the version of the library that runs
 *
 * Any thread, any time.
 *
 * Return: "major.minor.patch", static.
 */
const char *peerbar_version(void);

/* The machine -------------------------------------------------------------- */

/**
 * struct peerbar_bar_info - one BAR
 * @length: bytes; 0: the BAR does not exist, and all else is false. The second
 * half of a 64-bit BAR does not exist either.
 * @is_memory: memory, not I/O ports
 * @is_64bit: may be placed above 4 GiB
 * @is_prefetchable: reading it has no side effects, says the device
 * @can_mmap: vfio lets a process map it through the device's own descriptor. Of
 * a device that is not open this is an estimate from size and alignment.
 *
 * Source: the flags in sysfs's `resource` (include/linux/ioport.h) and, once
 * the device is open, VFIO_DEVICE_GET_REGION_INFO.
 */
struct peerbar_bar_info {
	uint64_t length;
	bool is_memory;
	bool is_64bit;
	bool is_prefetchable;
	bool can_mmap;
};

/**
 * struct peerbar_device_info - a PCI device, as sysfs shows it
 * @address: "dddd:bb:dd.f", as in sysfs
 * @vendor: PCI vendor ID
 * @device: PCI device ID
 * @class_code: class, subclass and programming interface: 0xccsspp
 * @driver: name of the driver that has it, cut if too long; empty: none
 * @iommu_group: number of its IOMMU group; -1: it is in none
 * @vfio_bound: its driver is vfio-pci or a variant of it
 * @bars: its BARs
 */
struct peerbar_device_info {
	char address[PEERBAR_ADDRESS_MAX];
	uint16_t vendor;
	uint16_t device;
	uint32_t class_code;
	char driver[32];
	int iommu_group;
	bool vfio_bound;
	struct peerbar_bar_info bars[PEERBAR_NUM_BARS];
};

/**
 * peerbar_list_devices - all PCI devices of the machine
 * @pb: the context
 * @out: array of devices, in the order of their addresses; give it back with
 * peerbar_free_devices(). NULL where there are none.
 * @count: how many
 *
 * Needs no privileges. A device that goes away meanwhile is left out.
 *
 * Return: 0, or a negative errno: -ENOENT the machine has no PCI.
 */
int peerbar_list_devices(struct peerbar *pb, struct peerbar_device_info **out, size_t *count);

/**
 * peerbar_free_devices - give back what peerbar_list_devices() made
 * @devices: the array, or NULL
 */
void peerbar_free_devices(struct peerbar_device_info *devices);

/**
 * peerbar_device_lookup - one PCI device by its address
 * @pb: the context
 * @address: "dddd:bb:dd.f", or "bb:dd.f" in domain 0, hexadecimal as lspci
 * prints it
 * @out: what sysfs shows of it
 *
 * Needs no privileges.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address, -ENODEV
 * there is no such device.
 */
int peerbar_device_lookup(struct peerbar *pb, const char *address, struct peerbar_device_info *out);

/**
 * struct peerbar_system_caps - what the machine has, whatever the device
 * @size: sizeof(struct peerbar_system_caps), set by the caller
 * @iommu: an IOMMU is on
 * @vfio_pci: the vfio-pci driver is loaded or built in
 * @vfio_group: vfio has groups and containers (/dev/vfio/vfio)
 * @vfio_cdev: vfio makes character devices; false while vfio is not loaded
 * @iommufd: there is /dev/iommu
 * @pat_wc: WC mappings are possible: x86 has a PAT, and the kernel uses it as
 * far as the caller may see; true on other machines, where WC does not hang on
 * something that may be missing
 * @ptdump: peerbar_memtype_of() works for this caller
 * @kernel_release: as uname -r prints it
 */
struct peerbar_system_caps {
	size_t size;
	bool iommu;
	bool vfio_pci;
	bool vfio_group;
	bool vfio_cdev;
	bool iommufd;
	bool pat_wc;
	bool ptdump;
	char kernel_release[65];
};

/**
 * peerbar_system_caps - ask what the machine has
 * @pb: the context
 * @caps: the answer; its size is set by the caller
 *
 * Needs no privileges, but sees more with them (@pat_wc, @ptdump). Present does
 * not mean permitted: opening a device may still fail with -EACCES.
 *
 * Return: 0, or a negative errno: -EINVAL a bad size; or what got in the way.
 */
int peerbar_system_caps(struct peerbar *pb, struct peerbar_system_caps *caps);

/* Binding to vfio ---------------------------------------------------------- */

/**
 * enum peerbar_use_kind - what a device is used for
 * @PEERBAR_USE_UNCHECKED: it could not be found out: peerbar_device_use.error
 * is why
 * @PEERBAR_USE_OPEN: a process has a node of it open
 * @PEERBAR_USE_DISK: a disk of it is mounted, swapped to, part of a volume or a
 * pool, behind a loop device or an NVMe target, or held exclusively by a
 * program, in any namespace
 * @PEERBAR_USE_SHARE: a folder that a hypervisor shares by it is mounted
 * @PEERBAR_USE_NETWORK: a network interface of it is up, part of another, or in
 * another network namespace
 * @PEERBAR_USE_RDMA: a port of its RDMA device is active, or the RDMA device is
 * in another network namespace
 * @PEERBAR_USE_DISPLAY: it drives a display, or the console is on it
 * @PEERBAR_USE_SRIOV: it has virtual functions, which go with it
 * @PEERBAR_USE_BRIDGE: it is a bridge
 *
 * There may be more of them in a later release.
 */
enum peerbar_use_kind {
	PEERBAR_USE_UNCHECKED = 0,
	PEERBAR_USE_OPEN,
	PEERBAR_USE_DISK,
	PEERBAR_USE_SHARE,
	PEERBAR_USE_NETWORK,
	PEERBAR_USE_RDMA,
	PEERBAR_USE_DISPLAY,
	PEERBAR_USE_SRIOV,
	PEERBAR_USE_BRIDGE,
};

/**
 * struct peerbar_device_use - one use of a device
 * @size: what the library has filled in, bytes: look at nothing beyond
 * @address: the device
 * @name: what is used: "nvme0n1", "eth0", the name of a node, "sriov_numvfs"
 * @text: the same in words, as in "the disk nvme0n1 is mounted on /"
 * @kind: what it is used for
 * @error: why it could not be found out, a positive errno; 0: it was
 */
struct peerbar_device_use {
	size_t size;
	const char *address;
	const char *name;
	const char *text;
	enum peerbar_use_kind kind;
	int error;
};

/**
 * typedef peerbar_use_fn - is told of a use of a device
 * @arg: as given to peerbar_device_in_use()
 * @use: the use; the library's, gone after the call
 *
 * Called by the thread that is inside of peerbar_device_in_use(), with no lock
 * held.
 */
typedef void (*peerbar_use_fn)(void *arg, const struct peerbar_device_use *use);

/**
 * peerbar_device_in_use - find out whether this machine would miss a device
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @report: told of each use; NULL: nobody is
 * @arg: first argument of @report
 *
 * Looks at all that is below the device in sysfs: disks, of which the kernel is
 * asked to open each node exclusively, read-only and for a moment, the other
 * paths of an NVMe subsystem included; network interfaces; RDMA ports;
 * displays; virtual functions. Then it looks at the descriptors of all
 * processes for the device's nodes, and, of a device that vfio has, at its
 * IOMMU group. Changes nothing. A device that nobody uses now may be used as
 * soon as this returns.
 *
 * What cannot be looked at counts as in use, and is reported with its error.
 * Much of it takes root, and the first PID namespace: descriptors of processes
 * outside of one's own cannot be seen.
 *
 * Return: 0 it is not in use, -EBUSY it is; of checks that failed, where none
 * found a use, the first one's errno: -EACCES or -EPERM without root. Other
 * negative errnos: -EINVAL @address is no PCI address, -ENODEV there is no such
 * device.
 */
int peerbar_device_in_use(struct peerbar *pb, const char *address, peerbar_use_fn report,
			  void *arg);

/**
 * enum peerbar_bind_flags - how to bind
 * @PEERBAR_BIND_FORCE: although the device is in use; whoever uses it loses it
 * @PEERBAR_BIND_GROUP: all devices of its IOMMU group but bridges, or none
 * @PEERBAR_BIND_DRY_RUN: check whether it could be done, and change nothing
 */
enum peerbar_bind_flags {
	PEERBAR_BIND_FORCE = 1 << 0,
	PEERBAR_BIND_GROUP = 1 << 1,
	PEERBAR_BIND_DRY_RUN = 1 << 2,
};

/**
 * struct peerbar_bind_options - how to bind a device
 * @size: sizeof(struct peerbar_bind_options)
 * @driver: the driver that is to have it, "vfio-pci" or a variant of it; NULL:
 * "vfio-pci", and whichever of them has it already will do
 * @flags: of enum peerbar_bind_flags
 */
struct peerbar_bind_options {
	size_t size;
	const char *driver;
	uint64_t flags;
};

/**
 * peerbar_device_bind - hand a device over to vfio-pci
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @options: NULL for defaults
 *
 * Takes the device away from its driver, unless peerbar_device_in_use() finds a
 * use for it. Needs root. Loads no module. Idempotent: of a device that vfio has
 * it does nothing and returns 0.
 *
 * Works by driver_override (Documentation/ABI/testing/sysfs-bus-pci). What that
 * was before, and the driver, is noted in /run/peerbar. On failure both are put
 * back, of all devices; what could not be put back is logged. Of a process that
 * is killed halfway peerbar_device_binding() tells, the next call goes on from
 * there, and peerbar_device_unbind() puts things back.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address, or bad
 * options; -ENODEV there is no such device; -EBUSY it is in use, or the errno
 * with which that could not be found out; -ENOENT there is no such driver
 * (modprobe vfio-pci); -EEXIST another driver of vfio has it than the one asked
 * for; -EOPNOTSUPP it is a bridge, or its driver lets nobody take it away;
 * -EACCES no permission, or sysfs is read-only; -EIO the driver did not want it (usually because it is in no IOMMU
 * group).
 */
int peerbar_device_bind(struct peerbar *pb, const char *address,
			const struct peerbar_bind_options *options);

/**
 * enum peerbar_unbind_flags - how to unbind
 * @PEERBAR_UNBIND_FORCE: although the device is open: wait until it is not
 */
enum peerbar_unbind_flags {
	PEERBAR_UNBIND_FORCE = 1 << 0,
};

/**
 * struct peerbar_unbind_options - how to unbind a device
 * @size: sizeof(struct peerbar_unbind_options)
 * @flags: of enum peerbar_unbind_flags
 */
struct peerbar_unbind_options {
	size_t size;
	uint64_t flags;
};

/**
 * peerbar_device_unbind - take a device back from vfio
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @options: NULL for defaults
 *
 * Gives it back to the driver that it had before it was bound; where that is
 * not known or does not want it, to the one that the kernel chooses, or to none
 * if there is no such. driver_override becomes what it was, unless that was a
 * driver of vfio. Needs root. Idempotent: of a device that vfio does not have
 * it does nothing and returns 0; but what an interrupted bind or unbind has
 * left is put right.
 *
 * The kernel lets nobody take a device from vfio while it is open, and an unbind
 * waits until then, for as long as that takes (vfio_unregister_group_dev()). So
 * a device that is open is refused, unless options->flags say to wait. Buffers
 * and mappings of it are revoked.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address, or bad
 * options; -ENODEV there is no such device; -EBUSY it is open, or the errno with
 * which that could not be found out; -EACCES no permission, or sysfs is
 * read-only; -EIO its driver does not take it back, or vfio has taken it again,
 * for it has been told to by new_id.
 */
int peerbar_device_unbind(struct peerbar *pb, const char *address,
			  const struct peerbar_unbind_options *options);

/**
 * peerbar_device_find_driver - the driver of vfio that suits a device best
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @driver: the answer, "vfio-pci" or a variant of it
 * @size: room at @driver, bytes; 64 are enough
 *
 * Variant drivers say in modules.alias which devices they are for ("vfio_pci:"
 * aliases); the most specific wins. Needs no privileges and loads no module.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address, -ENODEV
 * there is no such device, -ENOENT the module of the driver is not loaded: the
 * log says which, -ERANGE @size is too small.
 */
int peerbar_device_find_driver(struct peerbar *pb, const char *address, char *driver,
			       size_t size);

/**
 * enum peerbar_binding_state - how far a device is bound
 * @PEERBAR_BINDING_NONE: vfio has nothing to do with it
 * @PEERBAR_BINDING_BOUND: a driver of vfio has it
 * @PEERBAR_BINDING_INTERRUPTED: no driver of vfio has it, but its
 * driver_override gives it to one, or the driver that it had before does not
 * have it back: a bind or unbind was killed, or somebody prepared it by hand
 */
enum peerbar_binding_state {
	PEERBAR_BINDING_NONE = 0,
	PEERBAR_BINDING_BOUND,
	PEERBAR_BINDING_INTERRUPTED,
};

/**
 * struct peerbar_binding_info - who is to have a device
 * @size: sizeof(struct peerbar_binding_info), set by the caller
 * @state: how far it is bound
 * @recorded: 1: what it was like before it was bound is known, and is in the two
 * former_ members; 0: they are empty
 * @driver_override: the only driver that may have it; empty: any
 * @former_driver: the driver before; empty: none
 * @former_override: driver_override before
 */
struct peerbar_binding_info {
	size_t size;
	enum peerbar_binding_state state;
	uint32_t recorded;
	char driver_override[64];
	char former_driver[64];
	char former_override[64];
};

/**
 * peerbar_device_binding - ask who is to have a device
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @out: the answer; its size is set by the caller
 *
 * Needs no privileges.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address, or a bad
 * size; -ENODEV there is no such device.
 */
int peerbar_device_binding(struct peerbar *pb, const char *address,
			   struct peerbar_binding_info *out);

/* Devices ------------------------------------------------------------------ */

/**
 * enum peerbar_backend - the way to a vfio device
 * @PEERBAR_BACKEND_AUTO: iommufd where the kernel and the caller's rights allow
 * it, else group
 * @PEERBAR_BACKEND_IOMMUFD: the device's own character device, and /dev/iommu
 * @PEERBAR_BACKEND_GROUP: group and container, the older way
 */
enum peerbar_backend {
	PEERBAR_BACKEND_AUTO = 0,
	PEERBAR_BACKEND_IOMMUFD,
	PEERBAR_BACKEND_GROUP,
};

/**
 * struct peerbar_device_options - how to open a device
 * @size: sizeof(struct peerbar_device_options)
 * @backend: which way
 */
struct peerbar_device_options {
	size_t size;
	enum peerbar_backend backend;
};

/**
 * peerbar_device_open - open a device that vfio-pci has
 * @pb: the context
 * @address: as for peerbar_device_lookup()
 * @options: NULL for defaults
 * @out: the device; the caller's, until peerbar_device_close()
 *
 * Needs read and write access to the nodes in /dev/vfio, and to /dev/iommu for
 * iommufd. vfio lets one process at a time have a device, and the devices of
 * one IOMMU group go to one process: open them through one context, which
 * makes them share their IOMMU address space. The first to open a device resets
 * it, if it can be reset, and turns its memory decoding on; it cannot start DMA
 * yet.
 *
 * Return: 0, or a negative errno: -EINVAL @address is no PCI address or bad
 * options, -ENODEV there is no such device, or its node in /dev/vfio/devices is
 * another one's (a stale node in a container), -ENXIO vfio-pci does not have it
 * (peerbar_device_bind()), -EACCES no permission, -EBUSY the device or another
 * one of its IOMMU group is open elsewhere, -EUSERS another one of its IOMMU
 * group has a driver of the kernel, -EOPNOTSUPP the kernel lacks what the
 * backend needs.
 */
int peerbar_device_open(struct peerbar *pb, const char *address,
			const struct peerbar_device_options *options, struct peerbar_device **out);

/**
 * peerbar_device_close - give a device back
 * @dev: the device, or NULL
 *
 * The kernel stops the device's DMA, resets it and revokes all its buffers:
 * later accesses to mappings of them raise SIGBUS. With the last device of an
 * IOMMU group its DMA mappings go. Buffers, mappings and DMA mappings may be
 * closed before or after. Other threads may be using its buffers meanwhile.
 */
void peerbar_device_close(struct peerbar_device *dev);

/**
 * peerbar_device_address - the address of an open device
 * @dev: the device, not NULL
 *
 * Return: "dddd:bb:dd.f"; the device's, valid until it is closed.
 */
const char *peerbar_device_address(const struct peerbar_device *dev);

/**
 * peerbar_device_backend - the way by which a device was opened
 * @dev: the device, not NULL
 *
 * Return: what was chosen; never PEERBAR_BACKEND_AUTO.
 */
enum peerbar_backend peerbar_device_backend(const struct peerbar_device *dev);

/**
 * peerbar_device_fd - vfio's descriptor of a device
 * @dev: the device, not NULL
 *
 * For ioctls that the library has no function for (<linux/vfio.h>).
 *
 * Return: the descriptor; the device's, do not close it.
 */
int peerbar_device_fd(const struct peerbar_device *dev);

/**
 * struct peerbar_device_caps - what the kernel can do for a device
 * @size: sizeof(struct peerbar_device_caps), set by the caller
 * @dmabuf_export: VFIO_DEVICE_FEATURE_DMA_BUF: peerbar_buffer_export() works
 * @dmabuf_mmap: peerbar_map() of an exported buffer works
 * @dmabuf_revoke: VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE: peerbar_buffer_revoke()
 * @dmabuf_memattr: VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR: there is a choice of
 * memory types; that the machine can do WC it does not say
 * @iova_dmabuf: peerbar_iova_map() of an exported buffer works
 * @reset: peerbar_device_reset() works
 */
struct peerbar_device_caps {
	size_t size;
	bool dmabuf_export;
	bool dmabuf_mmap;
	bool dmabuf_revoke;
	bool dmabuf_memattr;
	bool iova_dmabuf;
	bool reset;
};

/**
 * peerbar_device_caps - find out what the kernel can do for a device
 * @dev: the device
 * @caps: the answer; its size is set by the caller
 *
 * Nothing is assumed from the kernel's version. Features are asked for
 * (VFIO_DEVICE_FEATURE_PROBE); mapping and DMA mapping, which cannot be asked
 * for, are tried on the first page of the device's first memory BAR, without
 * accessing it. So a device without a memory BAR of a page has neither. A
 * feature under a number that this library does not know counts as absent, and
 * so does another one under a number that it does. The answer is found once and
 * kept; a failure is not.
 *
 * Return: 0, or a negative errno: -EINVAL a bad size; or what got in the way.
 */
int peerbar_device_caps(struct peerbar_device *dev, struct peerbar_device_caps *caps);

/**
 * peerbar_device_bar - ask about a BAR of an open device
 * @dev: the device
 * @bar: 0 to PEERBAR_NUM_BARS - 1
 * @info: the answer; a length of 0 where the device has no such BAR
 *
 * Return: 0, or a negative errno: -EINVAL no PCI device has such a BAR.
 */
int peerbar_device_bar(struct peerbar_device *dev, unsigned int bar, struct peerbar_bar_info *info);

/**
 * peerbar_device_reset - reset a device
 * @dev: the device
 *
 * VFIO_DEVICE_RESET. Meanwhile CPU mappings of its buffers raise SIGBUS;
 * afterwards those of buffers that have not been revoked for good work again.
 * DMA mappings of its buffers and RDMA memory regions do not come back, and the
 * device is no bus master any more. DMA mappings for it stay.
 *
 * Return: 0, or a negative errno: -EOPNOTSUPP the device has no reset that
 * leaves others alone.
 */
int peerbar_device_reset(struct peerbar_device *dev);

/**
 * peerbar_device_set_bus_master - let a device start DMA, or forbid it
 * @dev: the device
 * @on: true: it may
 *
 * Sets or clears bit 2 of its PCI command register, through vfio's configuration
 * region. It reaches only what peerbar_iova_map() has mapped for its IOMMU
 * group.
 *
 * Return: 0, or a negative errno: -EIO the register did not answer.
 */
int peerbar_device_set_bus_master(struct peerbar_device *dev, bool on);

/* Buffers ------------------------------------------------------------------ */

/**
 * enum peerbar_memattr - how the CPU is to see a mapping
 * @PEERBAR_MEMATTR_NC: noncached: every access goes out as it is, in order
 * @PEERBAR_MEMATTR_WC: write-combining: stores are gathered; see peerbar/mmio.h
 *
 * The values are the kernel's, of VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR.
 */
enum peerbar_memattr {
	PEERBAR_MEMATTR_NC = 0,
	PEERBAR_MEMATTR_WC = 1,
};

/**
 * struct peerbar_range - a part of a BAR
 * @offset: bytes from the start of the BAR; a multiple of a page
 * @length: bytes; a multiple of a page, not 0
 */
struct peerbar_range {
	uint64_t offset;
	uint64_t length;
};

/**
 * struct peerbar_export_options - how to export a buffer
 * @size: sizeof(struct peerbar_export_options)
 * @memattr: for later mappings
 * @read_only: the dma-buf is O_RDONLY: the CPU can map it for reading only, and
 * peerbar_iova_map() lets devices read only. An RDMA NIC's access is decided
 * when it is registered and is not limited by this.
 * @sync_importers: only importers may attach that let go at once when the buffer
 * is revoked, so that whoever holds the descriptor cannot delay that by the
 * choice of one; RDMA NICs, soft-RoCE and iommufd are such, GPUs are not
 */
struct peerbar_export_options {
	size_t size;
	enum peerbar_memattr memattr;
	bool read_only;
	bool sync_importers;
};

/**
 * peerbar_buffer_export - make a dma-buf of parts of a BAR
 * @dev: the device
 * @bar: which of its BARs
 * @ranges: which parts; they follow each other in the buffer, in this order,
 * and may repeat or overlap. Not needed after the call.
 * @nr_ranges: how many, at least 1. Other devices can map a buffer of a single
 * range only (peerbar_iova_map()).
 * @options: NULL for defaults: noncached, for reading and writing
 * @out: the buffer; the caller's, until peerbar_buffer_close()
 *
 * VFIO_DEVICE_FEATURE_DMA_BUF. The buffer lives for as long as somebody has a
 * descriptor, mapping or registration of it, but not longer than the device
 * stays open; then it is revoked. For what write-combining does to this
 * process's own mappings see peerbar_buffer_set_memattr().
 *
 * Return: 0, or a negative errno: -EINVAL @bar is above 5, a range is empty, is
 * not made of whole pages or goes past the end of the BAR, or bad options;
 * -ENXIO the device has no such BAR or it is made of I/O ports; -ENODEV the
 * device is gone, or the kernel holds no resources for that BAR; -ENOENT
 * options->memattr is unknown; -EOPNOTSUPP the kernel or the device's driver
 * cannot export, cannot do WC, or cannot insist on importers, which the log
 * tells apart; -EBUSY and -ENOSPC as peerbar_buffer_set_memattr(); -E2BIG too
 * many ranges, or options from the future.
 */
int peerbar_buffer_export(struct peerbar_device *dev, unsigned int bar,
			  const struct peerbar_range *ranges, size_t nr_ranges,
			  const struct peerbar_export_options *options,
			  struct peerbar_buffer **out);

/**
 * peerbar_buffer_import - wrap a dma-buf that came from elsewhere
 * @pb: the context
 * @dmabuf_fd: any exporter's dma-buf; it is duplicated and stays the caller's
 * @out: the buffer; the caller's, until peerbar_buffer_close()
 *
 * Return: 0, or a negative errno: -EBADF the descriptor is not open, -EINVAL it
 * is no dma-buf.
 */
int peerbar_buffer_import(struct peerbar *pb, int dmabuf_fd, struct peerbar_buffer **out);

/**
 * peerbar_buffer_close - give a buffer back
 * @buf: the buffer, or NULL
 *
 * Mappings, DMA mappings and memory regions made from it live on, and so do
 * duplicates of its descriptor. To end those: peerbar_buffer_revoke(), before.
 */
void peerbar_buffer_close(struct peerbar_buffer *buf);

/**
 * peerbar_buffer_fd - the dma-buf of a buffer
 * @buf: the buffer, not NULL
 *
 * Whoever gets a duplicate, by SCM_RIGHTS for instance, can do with it what this
 * process can, except for revoking it and setting its attribute.
 *
 * Return: the descriptor; the buffer's, do not close it.
 */
int peerbar_buffer_fd(const struct peerbar_buffer *buf);

/**
 * peerbar_buffer_length - the size of a buffer
 * @buf: the buffer, not NULL
 *
 * Return: bytes: the sum of its ranges.
 */
uint64_t peerbar_buffer_length(const struct peerbar_buffer *buf);

/**
 * peerbar_buffer_set_memattr - choose the memory type of later mappings
 * @buf: a buffer that this process exported
 * @memattr: which
 *
 * Mappings that exist keep what they have. A mapping has exactly the type that
 * the buffer had when it was made, or making it fails with -EBUSY.
 *
 * Write-combining pages are lent: from this call on, mappings that the owner of
 * the device has made of the region itself (vfio's mmap()) raise SIGBUS there.
 * They come back when the buffer is revoked, when all who hold it have closed it,
 * or when it is noncached again and its last mapping is gone.
 *
 * On a kernel without the feature every mapping is noncached; asking for that
 * succeeds.
 *
 * Return: 0, or a negative errno: -EOPNOTSUPP the buffer was imported, the
 * kernel has no such feature, the machine cannot do WC, or the kernel itself
 * needs the pages noncached (the MSI-X table); -ENOENT @memattr is unknown;
 * -EBUSY a page is in use with the other type, mapped noncached or registered
 * through a buffer, or mapped behind vfio's back; -ENOSPC vfio-pci has divided
 * its own mapping of the device 65536 times; -ENODEV the device is gone.
 */
int peerbar_buffer_set_memattr(struct peerbar_buffer *buf, enum peerbar_memattr memattr);

/**
 * peerbar_buffer_revoke - take a buffer back, for good
 * @buf: a buffer that this process exported
 *
 * When it returns 0, nobody can reach the memory through this buffer any more:
 * CPU accesses through any process's mapping raise SIGBUS (BUS_ADRERR, at the
 * address), RDMA to its memory regions fails at both ends, and DMA mappings are
 * gone. Nothing brings it back. Other buffers over the same memory are
 * untouched, and new ones can be made. The buffer must still be closed, and
 * mappings of it unmapped.
 *
 * It waits for importers to let go. Those of RDMA and DMA do so at once; a GPU's
 * takes its time, unless the buffer was made with sync_importers. Other buffers
 * of the device can be used meanwhile.
 *
 * Return: 0, or a negative errno: -EINTR a signal handler ran while it waited: no
 * process reaches the memory any more, an importer may; call it again to wait
 * again; -EBADFD it has been revoked before, and nobody is left to wait for;
 * -EOPNOTSUPP the buffer was imported or the kernel has no such feature,
 * -ENODEV its device is gone.
 */
int peerbar_buffer_revoke(struct peerbar_buffer *buf);

/**
 * peerbar_device_set_memattr_fd - the same for a descriptor from elsewhere
 * @dev: the exporting device
 * @dmabuf_fd: a dma-buf that came back from a client, say; stays the caller's
 * @memattr: a value of enum peerbar_memattr, or one of a newer kernel
 *
 * For whoever hands out buffers and does not keep them. Unlike
 * peerbar_buffer_set_memattr() it is the bare kernel feature.
 *
 * Return: 0, or a negative errno: -EBADF the descriptor is not open, -EINVAL it
 * is no dma-buf, -ENODEV it is not this device's or its device was closed, and
 * -ENOENT, -EBUSY, -ENOSPC and -EOPNOTSUPP as peerbar_buffer_set_memattr().
 */
int peerbar_device_set_memattr_fd(struct peerbar_device *dev, int dmabuf_fd, uint32_t memattr);

/**
 * peerbar_device_revoke_fd - take back a buffer by its descriptor
 * @dev: the exporting device
 * @dmabuf_fd: a dma-buf that came back from a client, say; stays the caller's
 *
 * As peerbar_buffer_revoke().
 *
 * Return: 0, or a negative errno: -EBADF the descriptor is not open, -EINVAL it
 * is no dma-buf, -ENODEV it is not this device's or its device was closed, and
 * -EINTR, -EBADFD and -EOPNOTSUPP as peerbar_buffer_revoke().
 */
int peerbar_device_revoke_fd(struct peerbar_device *dev, int dmabuf_fd);

/* CPU mappings ------------------------------------------------------------- */

/**
 * struct peerbar_map_options - how to map
 * @size: sizeof(struct peerbar_map_options)
 * @read_only: for reading only
 */
struct peerbar_map_options {
	size_t size;
	bool read_only;
};

/**
 * peerbar_map - map a slice of a buffer into this process
 * @buf: the buffer; may be closed before the mapping is
 * @offset: where the slice starts, bytes; a multiple of a page
 * @length: its size, bytes; a multiple of a page, not 0
 * @options: NULL for defaults: reading and writing
 * @out: the mapping; the caller's, until peerbar_unmap()
 *
 * The mapping is shared, and has the memory type that the buffer's attribute
 * names now. The address is chosen so that the kernel can use the largest pages
 * that fit and can be had, of 1 GiB, 2 MiB or 4 KiB on x86 (vfio inserts huge
 * ones only where virtual and physical address are congruent); of an imported
 * buffer, whose physical address is not known, that takes luck.
 *
 * Access it with peerbar/mmio.h. Once the buffer is revoked, by anybody and for
 * whatever reason, an access raises SIGBUS.
 *
 * Return: 0, or a negative errno: -EINVAL the slice is empty, is not made of
 * whole pages or goes past the end, or bad options; -EACCES the buffer is
 * read-only and options->read_only is not set; -ENODEV it has been revoked for
 * good or its device is gone; -EAGAIN it is revoked for the moment, by a reset,
 * memory decode that is off, or low power; -EBUSY some of its pages are in use
 * with another memory type, by this process or another; -ENOSPC it has 65536
 * mappings, in all processes; -EOPNOTSUPP its exporter cannot be mapped by the
 * CPU.
 */
int peerbar_map(struct peerbar_buffer *buf, uint64_t offset, size_t length,
		const struct peerbar_map_options *options, struct peerbar_mapping **out);

/**
 * peerbar_unmap - undo a mapping
 * @map: the mapping, or NULL
 *
 * Its addresses may be reused by anything afterwards.
 */
void peerbar_unmap(struct peerbar_mapping *map);

/**
 * peerbar_mapping_addr - where a mapping is
 * @map: the mapping, not NULL
 *
 * Return: its first byte; page aligned, valid until peerbar_unmap().
 */
volatile void *peerbar_mapping_addr(const struct peerbar_mapping *map);

/**
 * peerbar_mapping_length - how long a mapping is
 * @map: the mapping, not NULL
 *
 * Return: bytes.
 */
size_t peerbar_mapping_length(const struct peerbar_mapping *map);

/**
 * enum peerbar_memtype - the memory type found in page tables
 * @PEERBAR_MEMTYPE_WB: write-back: ordinary memory
 * @PEERBAR_MEMTYPE_WC: write-combining
 * @PEERBAR_MEMTYPE_UC_MINUS: uncached, unless an MTRR says WC: what Linux means
 * by noncached on x86
 * @PEERBAR_MEMTYPE_UC: uncached
 * @PEERBAR_MEMTYPE_WT: write-through
 * @PEERBAR_MEMTYPE_WP: write-protected
 */
enum peerbar_memtype {
	PEERBAR_MEMTYPE_WB,
	PEERBAR_MEMTYPE_WC,
	PEERBAR_MEMTYPE_UC_MINUS,
	PEERBAR_MEMTYPE_UC,
	PEERBAR_MEMTYPE_WT,
	PEERBAR_MEMTYPE_WP,
};

/**
 * peerbar_memtype_of - the memory type that a page of this process really has
 * @addr: an address inside the page, which must have been touched
 * @out: the type in the page table entry
 *
 * For tests and diagnosis: the kernel prints all page tables of the process for
 * it. x86 with CONFIG_PTDUMP_DEBUGFS, debugfs mounted, root. It reads the entry's
 * PAT, PCD and PWT bits (arch/x86/mm/dump_pagetables.c), with the PAT as Linux
 * programs it; an MTRR can still override it, and how the PCIe writes look it
 * does not show.
 *
 * Any thread, any time.
 *
 * Return: 0, or a negative errno: -EOPNOTSUPP the kernel cannot tell, -EPERM the
 * caller may not ask, -ENOENT nothing is mapped at @addr or it has not been
 * touched, -EIO the kernel's answer was not understood.
 */
int peerbar_memtype_of(const volatile void *addr, enum peerbar_memtype *out);

/**
 * peerbar_memtype_name - a memory type's usual abbreviation
 * @type: the type
 *
 * Any thread, any time.
 *
 * Return: "WB", "WC", "UC-", "UC", "WT" or "WP"; "unknown" for anything else.
 * Static.
 */
const char *peerbar_memtype_name(enum peerbar_memtype type);

/* DMA by other devices ----------------------------------------------------- */

/**
 * struct peerbar_iova_options - where a device is to see a buffer
 * @size: sizeof(struct peerbar_iova_options)
 * @iova: the DMA address, used when @fixed; a multiple of a page, the IOMMU's too
 * @fixed: at @iova, or not at all
 * @iova_limit: the highest usable DMA address + 1, for devices that do not reach
 * all of them; 0: no limit but the IOMMU's own
 */
struct peerbar_iova_options {
	size_t size;
	uint64_t iova;
	bool fixed;
	uint64_t iova_limit;
};

/**
 * peerbar_iova_map - let a device reach a slice of a buffer by DMA
 * @dev: the device that is to reach it, and with it its whole IOMMU group; not
 * necessarily the exporter
 * @buf: the buffer, of a single range; may be closed before the mapping is
 * @offset: where the slice starts, bytes; a multiple of a page
 * @length: its size, bytes; a multiple of a page, the IOMMU's too; not 0
 * @options: NULL for defaults: anywhere the IOMMU reaches, but not at 0
 * @out: the DMA mapping; the caller's, until peerbar_iova_unmap()
 *
 * IOMMU_IOAS_MAP_FILE of iommufd, which in Linux 7.3 takes vfio-pci's dma-bufs
 * of a single range and memfds, and no other exporter's dma-bufs
 * (drivers/iommu/iommufd/pages.c). The device can read, and write unless the
 * buffer is read-only. Whether a peer's access gets through the PCI fabric is
 * another matter: without ACS redirection it may not pass the IOMMU.
 *
 * Costs O(log n) with n of the IOMMU group; no lock is held while the kernel maps.
 * A device opened by way of a group cannot do it: its container looks physical
 * pages up once and would let the device reach them after a revoke.
 *
 * Return: 0, or a negative errno: -EINVAL the slice is empty, is not made of
 * whole pages or goes past the end, or bad options; -ENODEV the buffer has been
 * revoked or its device is gone; -EEXIST something is mapped at options->iova;
 * -ERANGE options->iova is above the limit, reserved or out of the IOMMU's
 * reach; -ENOSPC no room is left below the limit; -EOPNOTSUPP the backend, the
 * kernel or the exporter cannot do it, or the buffer has several ranges.
 */
int peerbar_iova_map(struct peerbar_device *dev, struct peerbar_buffer *buf, uint64_t offset,
		     uint64_t length, const struct peerbar_iova_options *options,
		     struct peerbar_iova_map **out);

/**
 * peerbar_iova - where the device sees the slice
 * @map: the DMA mapping, not NULL
 *
 * Return: the DMA address of its first byte.
 */
uint64_t peerbar_iova(const struct peerbar_iova_map *map);

/**
 * peerbar_iova_unmap - undo a DMA mapping
 * @map: the DMA mapping, or NULL
 *
 * Also after the buffer was revoked, which took the memory away but not the
 * address, and after the device was closed. When it returns the device cannot
 * reach the slice.
 */
void peerbar_iova_unmap(struct peerbar_iova_map *map);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* PEERBAR_PEERBAR_H */
