/*
 * What pmemkv does in the key-value rows of `compare`: its engine `cmap`, the one it recommends for persistent use, through
 * its own C interface. benches/src/peer/pmemkv.rs calls these functions; each gives 0, an errno value, or -1 - s for
 * pmemkv's status s; kv_peer_error() gives the reason.
 *
 * The pool is made here and handed to pmemkv by its option `oid`, rather than by `path`: so its pages can be mapped
 * before anything is timed, libpmem can be asked whether it takes the file for memory, and the objects can be counted.
 * From then on pmemkv does the same as with a path.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <libpmem.h>
#include <libpmemkv.h>
#include <libpmemobj.h>
#include <stdint.h>
#include <stdlib.h>

struct kv_peer {
	PMEMobjpool *pool;
	pmemkv_db *db;
};

static int refused(int status) { return status == PMEMKV_STATUS_OK ? 0 : -1 - status; }

const char *kv_peer_error(int error)
{
	return error < 0 ? pmemkv_errormsg() : pmemobj_errormsg();
}

void kv_peer_close(struct kv_peer *peer)
{
	if (peer->db != NULL)
		pmemkv_close(peer->db);
	if (peer->pool != NULL)
		pmemobj_close(peer->pool);
	free(peer);
}

int kv_peer_create(const char *path, size_t len, struct kv_peer **made)
{
	int prefault = 1;
	int error;
	pmemkv_config *config;
	struct kv_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return ENOMEM;
	if (pmemobj_ctl_set(NULL, "prefault.at_create", &prefault) != 0)
		goto failed;
	peer->pool = pmemobj_create(path, "compare-kv", len, 0600);
	if (peer->pool == NULL)
		goto failed;
	/* Else every flush would be an msync, and the comparison worth nothing. */
	if (!pmem_is_pmem(peer->pool, len)) {
		errno = ENOTSUP;
		goto failed;
	}
	/* Where pmemkv keeps its place; zeroed when it is made. */
	PMEMoid root = pmemobj_root(peer->pool, sizeof(PMEMoid));
	if (OID_IS_NULL(root))
		goto failed;
	config = pmemkv_config_new();
	if (config == NULL) {
		errno = ENOMEM;
		goto failed;
	}
	error = refused(pmemkv_config_put_oid(config, pmemobj_direct(root)));
	if (error != 0)
		pmemkv_config_delete(config);
	else
		/* The configuration is pmemkv's from here on, whatever comes of it. */
		error = refused(pmemkv_open("cmap", config, &peer->db));
	if (error != 0) {
		peer->db = NULL;
		kv_peer_close(peer);
		return error;
	}
	*made = peer;
	return 0;
failed:
	error = errno ? errno : EIO;
	kv_peer_close(peer);
	return error;
}

int kv_peer_put(struct kv_peer *peer, const char *key, size_t key_len, const char *value, size_t value_len)
{
	return refused(pmemkv_put(peer->db, key, key_len, value, value_len));
}

/* Gives 1 if there is no such key. */
int kv_peer_get(struct kv_peer *peer, const char *key, size_t key_len, pmemkv_get_v_callback *visit, void *argument)
{
	int status = pmemkv_get(peer->db, key, key_len, visit, argument);
	return status == PMEMKV_STATUS_NOT_FOUND ? 1 : refused(status);
}

int kv_peer_count(struct kv_peer *peer, size_t *count) { return refused(pmemkv_count_all(peer->db, count)); }

/* Bytes that pmemkv's objects can use, without what libpmemobj keeps beside each of them. */
uint64_t kv_peer_live_bytes(struct kv_peer *peer)
{
	uint64_t bytes = 0;
	PMEMoid object;
	POBJ_FOREACH(peer->pool, object)
		bytes += pmemobj_alloc_usable_size(object);
	return bytes;
}

/* Runs before main, for the reasons that c/pmemobj_peer.c gives. */
__attribute__((constructor)) static void prepare(void)
{
	if (setenv("PMEM_IS_PMEM_FORCE", "1", 1) != 0)
		abort();
}
