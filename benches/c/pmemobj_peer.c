/*
 * What libpmemobj does in the rows of `compare` on persistent memory: the same jobs as pobj's, written as its own
 * documentation and examples write them. benches/src/peer/libpmemobj.rs calls these functions; each gives 0 or an
 * errno value, and peer_error() the reason.
 *
 * Where there is a choice, it is the faster one for libpmemobj: objects that are filled at once are not zeroed
 * first, ranges are added by address, the hash map's buckets are made for all keys beforehand, 64-byte ranges lie on
 * cache lines, the pool's pages are mapped before anything is timed.
 *
 * The second half counts fences. libpmemobj orders everything through five functions of libpmem; this file defines
 * them, and as a program's own definitions go before those of its libraries, libpmemobj and libpmem itself call
 * these. They lead straight on to libpmem, which costs a nanosecond, until counting is switched on.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 64u

POBJ_LAYOUT_BEGIN(compare);
POBJ_LAYOUT_ROOT(compare, struct root);
POBJ_LAYOUT_TOID(compare, struct node);
POBJ_LAYOUT_TOID(compare, struct entry);
POBJ_LAYOUT_TOID(compare, struct buckets);
POBJ_LAYOUT_TOID(compare, struct tree_node);
POBJ_LAYOUT_END(compare);

/* A list node of one cache line. */
struct node {
	TOID(struct node) next;
	uint64_t value;
	uint64_t payload[5];
};

/* What the hash map holds for a key. */
struct entry {
	TOID(struct entry) next;
	uint64_t key;
	uint8_t value[LINE];
};

/* The heads of the hash map's chains; their number is a power of two. */
struct buckets {
	uint64_t count;
	TOID(struct entry) heads[];
};

/* A node of the B-tree: as many items as in libpmemobj's own example of one, the values in place. */
#define TREE_ORDER 8
struct tree_node {
	uint64_t count;
	struct tree_item {
		uint64_t key;
		uint64_t value;
	} items[TREE_ORDER - 1];
	TOID(struct tree_node) children[TREE_ORDER];
};

struct root {
	uint64_t hits;
	TOID(struct node) head;
	TOID(struct buckets) buckets;
	uint64_t entry_count;
	TOID(struct tree_node) tree;
	uint64_t tree_count;
	/* Lines of LINE bytes, and one more for alignment. */
	PMEMoid lines;
};

struct peer {
	PMEMobjpool *pool;
	struct root *root;
	uint64_t (*lines)[LINE / sizeof(uint64_t)];
	size_t line_count;
	struct buckets *buckets;
};

const char *peer_error(void) { return pmemobj_errormsg(); }

/* ---- the pool ---- */

void peer_close(struct peer *peer)
{
	if (peer->pool != NULL)
		pmemobj_close(peer->pool);
	free(peer);
}

int peer_create(const char *path, size_t len, struct peer **made)
{
	int prefault = 1;
	struct peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return ENOMEM;
	if (pmemobj_ctl_set(NULL, "prefault.at_create", &prefault) != 0)
		goto failed;
	peer->pool = pmemobj_create(path, POBJ_LAYOUT_NAME(compare), len, 0600);
	if (peer->pool == NULL)
		goto failed;
	/* Else every flush would be an msync, and the comparison worth nothing. */
	if (!pmem_is_pmem(peer->pool, len)) {
		errno = ENOTSUP;
		goto failed;
	}
	TOID(struct root) root = POBJ_ROOT(peer->pool, struct root);
	if (TOID_IS_NULL(root))
		goto failed;
	peer->root = D_RW(root);
	*made = peer;
	return 0;
failed:;
	int error = errno ? errno : EIO;
	peer_close(peer);
	return error;
}

/* ---- one 8-byte change ---- */

int peer_change_word(struct peer *peer)
{
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		TX_ADD_FIELD_DIRECT(peer->root, hits);
		peer->root->hits += 1;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	return error;
}

uint64_t peer_word(const struct peer *peer) { return peer->root->hits; }

/* ---- changes of whole lines ---- */

int peer_make_lines(struct peer *peer, size_t count)
{
	if (pmemobj_zalloc(peer->pool, &peer->root->lines, (count + 1) * LINE, 1) != 0)
		return errno ? errno : ENOMEM;
	uintptr_t start = (uintptr_t)pmemobj_direct(peer->root->lines);
	peer->lines = (void *)((start + LINE - 1) & ~(uintptr_t)(LINE - 1));
	peer->line_count = count;
	return 0;
}

/* Adds one to every word of these lines, in one transaction. */
int peer_change_lines(struct peer *peer, const uint32_t *numbers, size_t count)
{
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		for (size_t i = 0; i < count; i++) {
			if (numbers[i] >= peer->line_count)
				pmemobj_tx_abort(EINVAL);
			uint64_t *line = peer->lines[numbers[i]];
			pmemobj_tx_add_range_direct(line, LINE);
			for (size_t word = 0; word < LINE / sizeof(*line); word++)
				line[word] += 1;
		}
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	return error;
}

/* ---- list push ---- */

int peer_push(struct peer *peer, uint64_t value)
{
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		TOID(struct node) made = TX_NEW(struct node);
		struct node *node = D_RW(made);
		node->next = peer->root->head;
		node->value = value;
		memset(node->payload, 0, sizeof(node->payload));
		TX_ADD_FIELD_DIRECT(peer->root, head);
		peer->root->head = made;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	return error;
}

/* ---- hash map ---- */

/* Makes an empty map of `heads` chains, a power of two. */
int peer_make_map(struct peer *peer, size_t heads)
{
	if (heads == 0 || (heads & (heads - 1)) != 0)
		return EINVAL;
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		size_t len = sizeof(struct buckets) + heads * sizeof(TOID(struct entry));
		TOID(struct buckets) buckets = TX_ZALLOC(struct buckets, len);
		D_RW(buckets)->count = heads;
		TX_ADD_FIELD_DIRECT(peer->root, buckets);
		peer->root->buckets = buckets;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	if (error == 0)
		peer->buckets = D_RW(peer->root->buckets);
	return error;
}

/* The chain of a key: the top bits of its product with 2^64 over the golden ratio. */
static TOID(struct entry) *chain_of(struct peer *peer, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9E3779B97F4A7C15);
	return &peer->buckets->heads[(hash >> 32) & (peer->buckets->count - 1)];
}

static struct entry *find(TOID(struct entry) chain, uint64_t key)
{
	while (!TOID_IS_NULL(chain)) {
		struct entry *entry = D_RW(chain);
		if (entry->key == key)
			return entry;
		chain = entry->next;
	}
	return NULL;
}

/* Inserts keys that are not in the map yet, in one transaction; every byte of a value is the key's lowest. */
int peer_insert(struct peer *peer, const uint64_t *keys, size_t count)
{
	if (peer->buckets == NULL)
		return EINVAL;
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		TX_ADD_FIELD_DIRECT(peer->root, entry_count);
		for (size_t i = 0; i < count; i++) {
			TOID(struct entry) *chain = chain_of(peer, keys[i]);
			if (find(*chain, keys[i]) != NULL)
				pmemobj_tx_abort(EEXIST);
			TOID(struct entry) made = TX_NEW(struct entry);
			struct entry *entry = D_RW(made);
			entry->next = *chain;
			entry->key = keys[i];
			memset(entry->value, (uint8_t)keys[i], sizeof(entry->value));
			pmemobj_tx_add_range_direct(chain, sizeof(*chain));
			*chain = made;
		}
		peer->root->entry_count += count;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	return error;
}

uint64_t peer_map_len(const struct peer *peer) { return peer->root->entry_count; }

/* ---- B-tree ---- */

/* The first item that is not below `key`. */
static uint64_t tree_place(const struct tree_node *node, uint64_t key)
{
	uint64_t at = 0;
	while (at < node->count && node->items[at].key < key)
		at++;
	return at;
}

/* Splits the full child at `at` of a node that has room and is in the transaction. */
static void tree_split(struct tree_node *parent, uint64_t at)
{
	const uint64_t half = (TREE_ORDER - 1) / 2;
	TOID(struct tree_node) made = TX_ZNEW(struct tree_node);
	struct tree_node *right = D_RW(made);
	struct tree_node *left = D_RW(parent->children[at]);
	pmemobj_tx_add_range_direct(left, sizeof(*left));
	right->count = left->count - half - 1;
	memcpy(right->items, &left->items[half + 1], right->count * sizeof(right->items[0]));
	memcpy(right->children, &left->children[half + 1], (right->count + 1) * sizeof(right->children[0]));
	left->count = half;
	memmove(&parent->items[at + 1], &parent->items[at], (parent->count - at) * sizeof(parent->items[0]));
	memmove(&parent->children[at + 2], &parent->children[at + 1],
		(parent->count - at) * sizeof(parent->children[0]));
	parent->items[at] = left->items[half];
	parent->children[at + 1] = made;
	parent->count += 1;
}

/* Splits full nodes on the way down, so that there is room wherever it ends. */
static void tree_insert(struct peer *peer, uint64_t key, uint64_t value)
{
	struct root *root = peer->root;
	if (TOID_IS_NULL(root->tree) || D_RO(root->tree)->count == TREE_ORDER - 1) {
		TOID(struct tree_node) top = TX_ZNEW(struct tree_node);
		D_RW(top)->children[0] = root->tree;
		if (!TOID_IS_NULL(root->tree))
			tree_split(D_RW(top), 0);
		TX_ADD_FIELD_DIRECT(root, tree);
		root->tree = top;
	}
	struct tree_node *node = D_RW(root->tree);
	for (;;) {
		uint64_t at = tree_place(node, key);
		if (at < node->count && node->items[at].key == key)
			pmemobj_tx_abort(EEXIST);
		if (TOID_IS_NULL(node->children[0])) {
			pmemobj_tx_add_range_direct(node, sizeof(*node));
			memmove(&node->items[at + 1], &node->items[at], (node->count - at) * sizeof(node->items[0]));
			node->items[at].key = key;
			node->items[at].value = value;
			node->count += 1;
			return;
		}
		if (D_RO(node->children[at])->count == TREE_ORDER - 1) {
			pmemobj_tx_add_range_direct(node, sizeof(*node));
			tree_split(node, at);
			continue;
		}
		node = D_RW(node->children[at]);
	}
}

/* Inserts keys that are not in the tree yet, each as its own value, in one transaction. */
int peer_tree_insert(struct peer *peer, const uint64_t *keys, size_t count)
{
	volatile int error = 0;
	TX_BEGIN(peer->pool) {
		TX_ADD_FIELD_DIRECT(peer->root, tree_count);
		for (size_t i = 0; i < count; i++)
			tree_insert(peer, keys[i], keys[i]);
		peer->root->tree_count += count;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	return error;
}

/* Number of keys in the tree that a lookup of these finds. */
uint64_t peer_tree_find(const struct peer *peer, const uint64_t *keys, size_t count)
{
	uint64_t found = 0;
	for (size_t i = 0; i < count; i++) {
		const struct tree_node *node = TOID_IS_NULL(peer->root->tree) ? NULL : D_RO(peer->root->tree);
		while (node != NULL) {
			uint64_t at = tree_place(node, keys[i]);
			if (at < node->count && node->items[at].key == keys[i]) {
				found += 1;
				break;
			}
			node = TOID_IS_NULL(node->children[at]) ? NULL : D_RO(node->children[at]);
		}
	}
	return found;
}

/* ---- counting fences ---- */

typedef void persist_fn(const void *, size_t);
typedef void drain_fn(void);
typedef void *copy_fn(void *, const void *, size_t, unsigned);
typedef void *set_fn(void *, int, size_t, unsigned);

/* What libpmem offers. Filled before main, unchanged from then on. */
static struct {
	persist_fn *persist;
	drain_fn *drain;
	copy_fn *copy;
	copy_fn *move;
	set_fn *set;
} libpmem;

/* Of this thread. */
static __thread int counting;
static __thread uint64_t fences;

/*
 * The only place where a fence counts. While counting, the other four are this one and the part that does not fence: so
 * a fence counts once, whether libpmem's own calls of pmem_drain come here or were bound when it was linked.
 */
void pmem_drain(void)
{
	if (counting)
		fences += 1;
	libpmem.drain();
}

void pmem_persist(const void *addr, size_t len)
{
	if (!counting) {
		libpmem.persist(addr, len);
		return;
	}
	pmem_flush(addr, len);
	pmem_drain();
}

/* What a function is to be asked instead, and whether a fence comes after it. */
static int without_drain(unsigned *flags)
{
	if (!counting || (*flags & (PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NOFLUSH)) != 0)
		return 0;
	*flags |= PMEM_F_MEM_NODRAIN;
	return 1;
}

void *pmem_memcpy(void *to, const void *from, size_t len, unsigned flags)
{
	int drain = without_drain(&flags);
	libpmem.copy(to, from, len, flags);
	if (drain)
		pmem_drain();
	return to;
}

void *pmem_memmove(void *to, const void *from, size_t len, unsigned flags)
{
	int drain = without_drain(&flags);
	libpmem.move(to, from, len, flags);
	if (drain)
		pmem_drain();
	return to;
}

void *pmem_memset(void *to, int byte, size_t len, unsigned flags)
{
	int drain = without_drain(&flags);
	libpmem.set(to, byte, len, flags);
	if (drain)
		pmem_drain();
	return to;
}

/* Starts counting this thread's fences from 0. */
void peer_count_fences(void)
{
	fences = 0;
	counting = 1;
}

/* Stops counting; gives the number of fences. */
uint64_t peer_counted_fences(void)
{
	counting = 0;
	return fences;
}

static void *from_libpmem(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	if (found == NULL) {
		fprintf(stderr, "libpmem has no %s\n", name);
		abort();
	}
	return found;
}

/*
 * Runs before main: no other thread exists that could read the environment while it is changed, and every program
 * that this file is linked into measures the same. libpmem looks at the variable when it is first asked about a mapping.
 */
__attribute__((constructor)) static void prepare(void)
{
	if (setenv("PMEM_IS_PMEM_FORCE", "1", 1) != 0)
		abort();
	libpmem.persist = (persist_fn *)from_libpmem("pmem_persist");
	libpmem.drain = (drain_fn *)from_libpmem("pmem_drain");
	libpmem.copy = (copy_fn *)from_libpmem("pmem_memcpy");
	libpmem.move = (copy_fn *)from_libpmem("pmem_memmove");
	libpmem.set = (set_fn *)from_libpmem("pmem_memset");
}
