/* head_internal.h: what a head is made of. Only libs/head includes it.
 *
 *   names      label names, counted                 names   text -> name
 *   pairs      (name, value) texts, counted         pairs   text -> pair
 *   series     64 hot bytes for appending, 40 cold  ids     (tenant, id) -> ordinal
 *   tenants    each with the list of its series     tenants text -> tenant
 *   postings   (tenant, pair) -> ordinals           values  (tenant, pair) -> value record
 *              (tenant, name) -> its pairs          fields  (tenant, name) -> field record
 *
 * Names, pairs, records, label lists and chunks are pool blocks named by handles. A tenant has postings
 * only once it has more than HEAD_TENANT_SCAN_MAX series; below that its series are few enough to be
 * looked at one by one, so that a small tenant costs nothing but its list.
 */
#ifndef MRD_HEAD_HEAD_INTERNAL_H
#define MRD_HEAD_HEAD_INTERNAL_H

#include "base/pool.h"
#include "codec/histogram.h"
#include "head/head.h"
#include "head/table_internal.h"

enum {
    HEAD_TENANT_SCAN_MAX = 128, /* series of a tenant without postings */
    HEAD_LABELS_MAX = 1000,     /* of one series */
    HEAD_LABEL_SIZE_MAX = 1 << 20,
    HEAD_CHUNK_SAMPLES_MAX = 240, /* of a sealed chunk */
    HEAD_TAIL_SAMPLES_MIN = 72,   /* a growing chunk is sealed at 72 to 119, differing by series */
    HEAD_TAIL_SAMPLES_SPREAD = 48,
    HEAD_TAIL_WORDS_MAX = 512,
    HEAD_LATE_MAX = 127, /* out-of-order samples and overrides beside a series' chunks */
    HEAD_LATE_OVERRIDES_MAX = 100,
    HEAD_LATE_CONTESTED_MAX = 1024, /* contested samples beside those, of one series */
    HEAD_CONTESTED_MAX = 65536,     /* that wait for a verdict, of one head */
    HEAD_BATCH_LOOK_BACK = 4096,    /* rows of a batch that are looked at for the same sample */
    HEAD_HISTOGRAM_CHUNK_MAX = 120, /* histograms of a chunk */
    HEAD_HISTOGRAM_CHUNK_BYTES = MRD_POOL_SMALL_MAX, /* of a chunk of several: no whole pages */
    HEAD_PURGE_MIN = 4096,  /* dead series that are worth a walk over their postings, */
    HEAD_PURGE_SHARE = 32,  /* or one in so many of all, */
    HEAD_PURGE_PASSES = 16, /* or any after so many passes of the sweep */
};
#define HEAD_SERIES_MAX ((size_t)1 << 27)
#define HEAD_BUCKET_MS_DEFAULT ((mrd_time_ms)2 * 3600 * 1000)
#define HEAD_BUCKET_MS_MAX ((mrd_time_ms)1 << 31)

/* ---- records ---- */

struct head_name {
    uint32_t references;
    uint32_t size;
    uint8_t text[];
};

struct head_pair {
    uint32_t references;
    uint32_t hash;
    mrd_pool_handle name;
    uint32_t value_size;
    uint8_t value[];
};

/* A list of 32-bit numbers: two in place, then a pool block, then a block of its own. */
struct head_list {
    uint32_t count;
    uint32_t capacity : 31;
    uint32_t unsorted : 1;
    union {
        uint32_t here[2];
        mrd_pool_handle block;
        uint32_t *array;
    };
};
_Static_assert(sizeof(struct head_list) == 16, "a list is small");

struct head_value {
    mrd_pool_handle pair;
    uint32_t tenant;
    uint32_t dirty; /* on the purge's list */
    uint32_t unused;
    struct head_list series;
};

struct head_field {
    mrd_pool_handle name;
    uint32_t tenant;
    mrd_pool_handle next; /* field of the same tenant */
    uint32_t dirty;
    struct head_list values;
};

struct head_tenant {
    mrd_pool_handle name; /* a struct head_name */
    uint32_t hash;
    mrd_pool_handle first_field;
    uint16_t indexed;
    uint16_t dirty;
    struct head_list series;
};

enum {
    HOT_LIVE = 1,
    HOT_LATE = 2,       /* has a late block */
    HOT_HISTOGRAMS = 4, /* has a struct head_histograms */
    HOT_STARTS = 8,     /* a sample of its tail has a start time: has a struct head_starts */
};

/* What an in-order append touches: one cache line, and the end of the tail. */
struct head_hot {
    struct mrd_chunk_open open; /* owner_words: capacity of the tail; owner_flags: HOT_* */
    mrd_hlc hlc;                /* greatest of the tail's samples */
    mrd_time_ms bucket_end_ms;  /* of the tail */
    mrd_pool_handle tail;
    mrd_pool_handle chunks; /* newest sealed chunk; they are disjoint and descend in time */
};
_Static_assert(sizeof(struct head_hot) == 64, "a cache line");

enum head_state { SERIES_FREE, SERIES_LIVE, SERIES_DEAD, SERIES_PURGED };

struct head_series {
    mrd_series_id id;
    uint32_t tenant;
    mrd_pool_handle labels; /* label_count pair handles, in the order of names */
    mrd_pool_handle late;
    uint32_t touched_s; /* seconds of the greatest hlc that named it; once purged: cursor number */
    uint16_t label_count;
    uint8_t state;
    uint8_t unused;
    union {
        mrd_pool_handle
            extra;     /* live: with HOT_STARTS a struct head_starts, else its `histograms` */
        uint32_t next; /* dead: list of free or purged ordinals */
    };
};
_Static_assert(sizeof(struct head_series) == 40, "small");

struct head_chunk {
    mrd_hlc hlc;          /* greatest of its samples */
    mrd_pool_handle next; /* older */
    uint32_t span_ms;     /* last time - first time */
    uint16_t count;
    uint16_t size;
    uint8_t encoding;
    uint8_t bytes[];
};

/* What stands beside the chunks at a time. */
enum head_late_kind {
    LATE_SAMPLE,   /* a sample at a time that no chunk has */
    LATE_OVERRIDE, /* a sample that takes the place of a chunk's */
    LATE_CONTESTED, /* a mark: whether the chunk's sample is right is not known; on the list of those */
    LATE_TAKEN,     /* the same, given to the caller for a verdict */
    LATE_DOUBTED, /* the same, and there was another write since: that verdict will not do */
};

struct head_late {
    mrd_time_ms time_ms;
    uint64_t bits;
    mrd_hlc hlc; /* 0 of a mark */
    uint32_t origin;
    uint32_t kind; /* enum head_late_kind */
};
static inline bool head_late_is_mark(const struct head_late *item)
{
    return item->kind >= LATE_CONTESTED;
}

struct head_late_block {
    mrd_time_ms oldest_ms; /* no chunk has a sample before this */
    uint32_t count;
    uint32_t capacity;
    uint32_t marks; /* of the count */
    uint32_t
        started; /* a start time of each item (0: unknown) stands behind the last place for one */
    struct head_late items[]; /* ascending, times unique */
};

struct head_contested_key {
    mrd_time_ms time_ms;
    uint32_t ordinal;
};
struct head_contested_list {
    struct head_contested_key *items;
    size_t count;
    size_t capacity;
};

/* Bytes in a pool block that grows. */
struct head_bytes {
    mrd_pool_handle at;
    uint32_t size;
    uint32_t capacity;
};

/* The start times of a tail. It exists from the first sample that has one to the end of that tail. */
struct head_starts {
    struct mrd_starts_open open;
    struct head_bytes bytes;    /* the runs before */
    mrd_pool_handle histograms; /* 0, or the series' struct head_histograms */
};

/* ---- histograms: nothing of this exists for a series that has none ---- */

/* Consecutive histograms of one bucket of time. */
struct head_histogram_chunk {
    mrd_hlc hlc; /* greatest of the stamps */
    mrd_time_ms first_ms;
    mrd_time_ms last_ms;
    struct head_bytes bytes; /* codec/histogram.h */
    struct head_bytes
        stamps;       /* per histogram: zigzag difference of hlc, zigzag difference of origin */
    mrd_hlc last_hlc; /* of the last stamp */
    uint32_t last_origin;
    mrd_pool_handle next; /* older */
    uint32_t weight;      /* sum of mrd_histogram_weight */
    uint16_t count;
    bool hides; /* a float sample stands at the time of one of them */
};

/* The histograms of a series, and what stands in the place of some. */
struct head_histograms {
    struct mrd_histogram_open open; /* of the newest chunk; its count is 0 if that can not grow */
    mrd_time_ms last_ms;            /* no histogram, and nothing in the place of one, is later */
    mrd_pool_handle chunks;         /* newest first, disjoint */
    mrd_pool_handle counters;       /* of `open` */
    uint32_t counters_capacity;
    mrd_pool_handle
        floats; /* a struct head_late_block: float samples that won against histograms */
};

/* Scratch of rewriting one chunk; made when the first histogram comes. */
struct head_histogram_scratch {
    struct mrd_arena *arena;
    struct mrd_buf entry;
    struct mrd_buf bytes;
    struct mrd_buf stamps;
    uint64_t *counters;
    size_t counters_capacity;
    struct mrd_histogram_open open;
    size_t count;
    mrd_time_ms times_ms[HEAD_HISTOGRAM_CHUNK_MAX + 1];
    mrd_time_ms start_times_ms[HEAD_HISTOGRAM_CHUNK_MAX + 1];
    struct mrd_histogram items[HEAD_HISTOGRAM_CHUNK_MAX + 1];
    struct head_stamp {
        mrd_hlc hlc;
        uint32_t origin;
    } stamp_items[HEAD_HISTOGRAM_CHUNK_MAX + 1];
};

/* Columns of decoded samples. */
struct head_columns {
    size_t count;
    size_t capacity;
    mrd_time_ms *times_ms;
    double *values;
    mrd_time_ms *start_times_ms; /* means something only if `started` */
    bool started;
};

enum {
    HEAD_PAUSE_ITEMS = 256,         /* that are looked at, of some 50 ns each */
    HEAD_PAUSE_SERIES = 32,         /* that are copied, of some us each */
    HEAD_PAUSE_NUMBERS = 16 * 1024, /* of series, of some ns each */
    HEAD_SMALL_SERIES = 256,        /* that a small select may look at */
};

/* Called after the item of number `index` of those that are gone through. */
static inline enum mrd_status head_pause(const struct mrd_head_pause *pause, size_t index,
                                         size_t every, struct mrd_error *err)
{
    return pause == NULL || pause->run == NULL || (index + 1) % every != 0
               ? MRD_OK
               : pause->run(pause->context, err);
}

struct mrd_head_cursor {
    struct mrd_head *head;
    struct mrd_head_cursor *next; /* opened later */
    uint32_t number;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
    mrd_time_ms histograms_before_ms;
    size_t samples_max;
    size_t samples;
    bool labels_only;
    struct mrd_head_pause pause;
    struct head_numbers *chain; /* scratch */
    uint32_t *ordinals;         /* NULL if there are none */
    size_t count;
    size_t at;
};

struct head_numbers { /* growing array of 32-bit numbers */
    uint32_t *items;
    size_t count;
    size_t capacity;
};

struct mrd_head {
    mrd_time_ms bucket_ms;
    size_t memory_bytes_limit;
    struct mrd_pool pool;
    struct mrd_region hot;     /* of struct head_hot */
    struct mrd_region series;  /* of struct head_series */
    struct mrd_region tenants; /* of struct head_tenant; 0 is none */
    uint32_t series_end;       /* ordinals handed out so far */
    uint32_t tenant_end;
    struct head_table ids;
    struct head_table names;
    struct head_table pairs;
    struct head_table tenant_names;
    struct head_table values;
    struct head_table fields;
    size_t memory_bytes[MRD_HEAD_MEMORY_COUNT]; /* pool blocks and arrays by use */
    size_t arrays_bytes;                        /* allocated outside pool and tables */
    uint64_t series_count;
    uint64_t tenant_count;
    uint64_t sample_count;
    uint64_t series_created;
    uint64_t series_removed;
    _Atomic uint32_t last_tenant; /* guess for the next look-up; relaxed, any value will do */
    uint32_t tenant_free;         /* list through first_field */
    uint32_t free_first;          /* ordinals to hand out again */
    uint32_t wait_first;          /* recycled while a cursor was open: oldest, newest */
    uint32_t wait_last;
    struct head_numbers dead;   /* not yet purged */
    size_t dead_forgotten;      /* of them, from the first on: the caller has forgotten them */
    uint32_t passes_unpurged;   /* of the sweep, since the last purge */
    struct head_numbers purged; /* not yet recycled */
    struct head_numbers died;   /* in the present sweep call */
    uint32_t sweep_at;
    uint64_t hollow;      /* 0: no series that lives was emptied by an erasure */
    uint64_t hollow_seen; /* of those, by the present pass of the sweep or since its beginning */
    struct mrd_head_cursor *cursors; /* oldest first */
    struct mrd_head_cursor *cursor_last;
    uint32_t cursor_number;
    struct head_columns merged; /* scratch of sealing */
    struct head_columns decoded;
    uint8_t *encoded;       /* scratch: one sealed chunk */
    struct mrd_buf started; /* scratch: a tail with its start times */
    struct head_contested_list contested;
    size_t mark_count; /* of all late blocks */
    struct mrd_head_contested_stats contested_stats;
    struct head_numbers chain;
    struct head_histogram_scratch *histogram_scratch;
    uint64_t histogram_count;
};

static inline struct head_hot *head_hot(const struct mrd_head *head, uint32_t ordinal)
{
    return (struct head_hot *)(void *)head->hot.base + ordinal;
}
static inline struct head_series *head_series(const struct mrd_head *head, uint32_t ordinal)
{
    return (struct head_series *)(void *)head->series.base + ordinal;
}
static inline struct head_tenant *head_tenant(const struct mrd_head *head, uint32_t tenant)
{
    return (struct head_tenant *)(void *)head->tenants.base + tenant;
}
static inline void *head_at(const struct mrd_head *head, mrd_pool_handle handle)
{
    return mrd_pool_at(&head->pool, handle);
}
static inline uint32_t *head_labels(const struct mrd_head *head, const struct head_series *series)
{
    return series->label_count == 0 ? NULL : head_at(head, series->labels);
}

/* Nothing is stored of the series. */
static inline bool head_is_empty(const struct mrd_head *head, uint32_t ordinal)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    return hot->open.count == 0 && hot->chunks == 0 && head_series(head, ordinal)->late == 0 &&
           (hot->open.owner_flags & HOT_HISTOGRAMS) == 0;
}

/* Spreads handles over a table, one to one: equal hashes are equal handles. */
static inline uint32_t head_handle_hash(mrd_pool_handle handle) { return handle * 0x9e3779b1U; }

/* Pool blocks with their bytes counted under a category. */
static inline mrd_pool_handle head_alloc(struct mrd_head *head, enum mrd_head_memory category,
                                         size_t size_bytes)
{
    head->memory_bytes[category] += mrd_pool_rounded(size_bytes);
    return mrd_pool_alloc(&head->pool, size_bytes);
}
static inline void head_free(struct mrd_head *head, enum mrd_head_memory category,
                             mrd_pool_handle handle, size_t size_bytes)
{
    head->memory_bytes[category] -= mrd_pool_rounded(size_bytes);
    mrd_pool_free(&head->pool, handle, size_bytes);
}

size_t head_memory_total(const struct mrd_head *head);

void head_numbers_add(struct head_numbers *numbers, uint32_t number);
void head_numbers_fini(struct head_numbers *numbers);
void head_numbers_sort(uint32_t *items, size_t count);

/* ---- head.c ---- */

/* Takes a series out of the id table. */
void head_series_forget(struct mrd_head *head, uint32_t ordinal);

/* ---- symbols.c ---- */

mrd_pool_handle head_name_find(const struct mrd_head *head, struct mrd_bytes text);
mrd_pool_handle head_name_acquire(struct mrd_head *head, struct mrd_bytes text);
void head_name_release(struct mrd_head *head, mrd_pool_handle name);
static inline struct mrd_bytes head_name_text(const struct mrd_head *head, mrd_pool_handle handle)
{
    const struct head_name *name = head_at(head, handle);
    return (struct mrd_bytes){name->text, name->size};
}

/* A label on its way in: its texts and the hash of both. */
struct head_label {
    struct mrd_bytes name;
    struct mrd_bytes value;
    uint32_t hash;
};
struct head_label head_label_of(struct mrd_bytes name, struct mrd_bytes value);

mrd_pool_handle head_pair_find(const struct mrd_head *head, const struct head_label *label);
mrd_pool_handle head_pair_acquire(struct mrd_head *head, const struct head_label *label);
void head_pair_release(struct mrd_head *head, mrd_pool_handle pair);
static inline struct mrd_bytes head_pair_value(const struct mrd_head *head, mrd_pool_handle handle)
{
    const struct head_pair *pair = head_at(head, handle);
    return (struct mrd_bytes){pair->value, pair->value_size};
}

/* ---- list.c ---- */

void head_list_add(struct mrd_head *head, struct head_list *list, uint32_t number);
uint32_t *head_list_items(const struct mrd_head *head, struct head_list *list);
uint32_t *head_list_sorted(const struct mrd_head *head, struct head_list *list);
/* Keeps the first `count` items and gives memory back. */
void head_list_cut(struct mrd_head *head, struct head_list *list, uint32_t count);

/* ---- index.c ---- */

uint32_t head_tenant_find(struct mrd_head *head, struct mrd_bytes name);
uint32_t head_tenant_acquire(struct mrd_head *head, struct mrd_bytes name);
void head_index_add(struct mrd_head *head, uint32_t ordinal);
void head_index_build(struct mrd_head *head, uint32_t tenant);
/* Takes the dead series out of all postings, gives their labels back and empties head->dead. */
void head_index_purge(struct mrd_head *head);
mrd_pool_handle head_value_find(const struct mrd_head *head, uint32_t tenant, mrd_pool_handle pair);
mrd_pool_handle head_field_find(const struct mrd_head *head, uint32_t tenant, mrd_pool_handle name);

/* ---- samples.c ---- */

mrd_time_ms head_tail_first_ms(const struct mrd_head *head, const struct head_hot *hot);
mrd_time_ms head_chunk_first_ms(const struct head_chunk *chunk);
size_t head_tail_bytes(const struct head_hot *hot);
void head_chunk_free(struct mrd_head *head, mrd_pool_handle handle);
void head_tail_free(struct mrd_head *head, uint32_t ordinal);
void head_tail_seal(struct mrd_head *head, uint32_t ordinal);
/* The tail (of at least one sample) as a chunk, valid until the next call. */
struct mrd_chunk head_tail_chunk(struct mrd_head *head, uint32_t ordinal);
/* Memory of the columns; 0: frees it. */
void head_columns_reserve(struct mrd_head *head, struct head_columns *columns, size_t capacity);
static inline void head_columns_clear(struct head_columns *columns)
{
    columns->count = 0;
    columns->started = false;
}
void head_columns_add(struct mrd_head *head, struct head_columns *columns, mrd_time_ms time_ms,
                      uint64_t bits, mrd_time_ms start_ms);
static inline mrd_time_ms head_columns_start(const struct head_columns *columns, size_t i)
{
    return columns->started ? columns->start_times_ms[i] : 0;
}
/* Encodes columns[from, to) into head->encoded; the chunk is valid until that is used again. */
struct mrd_chunk head_columns_encode(struct mrd_head *head, const struct head_columns *columns,
                                     size_t from, size_t to);
void head_columns_decode(struct mrd_head *head, struct head_columns *columns, uint8_t encoding,
                         struct mrd_bytes bytes, size_t count);
/* Encodes columns[from, to) into a new chunk block; `next` is its older neighbour. */
mrd_pool_handle head_chunk_make(struct mrd_head *head, const struct head_columns *columns,
                                size_t from, size_t to, mrd_hlc hlc, mrd_pool_handle next);
mrd_time_ms head_bucket_of(const struct mrd_head *head, mrd_time_ms time_ms);

/* ---- bytes.c: bytes that grow ---- */

struct mrd_bytes head_bytes_view(const struct mrd_head *head, const struct head_bytes *bytes);
void head_bytes_append(struct mrd_head *head, enum mrd_head_memory category,
                       struct head_bytes *bytes, struct mrd_bytes more);
/* Gives back what it was to grow into. */
void head_bytes_trim(struct mrd_head *head, enum mrd_head_memory category,
                     struct head_bytes *bytes);
void head_bytes_free(struct mrd_head *head, enum mrd_head_memory category,
                     struct head_bytes *bytes);

/* ---- starts.c: start times of a tail's samples ---- */

static inline struct head_starts *head_starts(const struct mrd_head *head, uint32_t ordinal)
{
    return (head_hot(head, ordinal)->open.owner_flags & HOT_STARTS) == 0
               ? NULL
               : head_at(head, head_series(head, ordinal)->extra);
}
/* Of the tail's last sample; 0: unknown. */
static inline mrd_time_ms head_starts_last(const struct mrd_head *head, uint32_t ordinal)
{
    const struct head_starts *starts = head_starts(head, ordinal);
    return starts == NULL ? 0 : starts->open.last_start_ms;
}
/* Says since when the sample counts that was just added to the tail; previous_ms is the time of the one before. */
void head_starts_add(struct mrd_head *head, uint32_t ordinal, mrd_time_ms previous_ms,
                     mrd_time_ms start_ms);
/* The tail has ended. */
void head_starts_free(struct mrd_head *head, uint32_t ordinal);
/* Where the series keeps the handle of its struct head_histograms. */
static inline mrd_pool_handle *head_histograms_link(const struct mrd_head *head, uint32_t ordinal)
{
    struct head_starts *starts = head_starts(head, ordinal);
    return starts == NULL ? &head_series(head, ordinal)->extra : &starts->histograms;
}

/* ---- late_block.c: late samples with their start times ---- */

size_t head_late_bytes(uint32_t capacity, bool started);
static inline size_t head_late_block_bytes(const struct head_late_block *block)
{
    return head_late_bytes(block->capacity, block->started);
}
/* Moves a block (0: an empty one) to another with that capacity, not less than its count, and with
 * start times if it has some or is to have (`started`). Returns the new one. */
struct head_late_block *head_late_block_move(struct mrd_head *head, enum mrd_head_memory category,
                                             mrd_pool_handle *handle, uint32_t capacity,
                                             bool started);
/* Where time_ms stands or would stand. */
uint32_t head_late_position(const struct head_late_block *block, mrd_time_ms time_ms);
/* Start times of the items, NULL if none is known. */
static inline mrd_time_ms *head_late_starts(struct head_late_block *block)
{
    return block->started ? (mrd_time_ms *)(void *)(block->items + block->capacity) : NULL;
}
static inline mrd_time_ms head_late_start(const struct head_late_block *block, size_t at)
{
    return block->started
               ? ((const mrd_time_ms *)(const void *)(block->items + block->capacity))[at]
               : 0;
}
/* Of a block that has room, and start times if start_ms is not 0. */
void head_late_block_insert(struct head_late_block *block, const struct head_late *item,
                            mrd_time_ms start_ms);
void head_late_block_remove(struct head_late_block *block, size_t at);
/* Moves the item at `from` to `to`, which is not after it, over what stands there. */
void head_late_block_keep(struct head_late_block *block, size_t to, size_t from);

/* ---- late.c ---- */

/* One sample of a batch on its way in. */
struct head_write {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms; /* 0: unknown */
    double value;
    mrd_hlc hlc;
    uint32_t origin;
    const struct mrd_head_batch *batch;
    size_t row;    /* of the batch */
    size_t sample; /* of the batch */
};
/* A sample that is not newer than all others of its series. */
void head_late_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                     struct mrd_head_append_result *result);
void head_late_free(struct mrd_head *head, uint32_t ordinal);
/* Gives an item of the series another value. */
void head_late_assign(struct mrd_head *head, uint32_t ordinal, const struct head_late *item,
                      const struct head_late *to, mrd_time_ms start_ms);
/* A mark is made into an override, or goes. */
static inline void head_late_mark_gone(struct mrd_head *head, struct head_late_block *block)
{
    block->marks--;
    head->mark_count--;
}
/* Takes a mark away. */
void head_late_unmark(struct mrd_head *head, uint32_t ordinal, const struct head_late *mark);
/* Moves late samples into chunks if there are so many that one more, marks apart, would be too many. */
void head_late_make_room(struct mrd_head *head, uint32_t ordinal);
/* What stands at the time beside the series' chunks, or NULL. */
struct head_late *head_late_find(const struct mrd_head *head, uint32_t ordinal,
                                 mrd_time_ms time_ms);

/* ---- contested.c ---- */

/* Puts a sample on the list; false if that is full. */
bool head_contested_add(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms);

/* What the series' chunks or late samples have at a time. */
struct head_stored {
    bool found;
    uint64_t bits;
    mrd_time_ms start_ms;
    mrd_hlc *hlc; /* the chunk's, or the sample's own: not above it */
};
struct head_stored head_stored_find(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms);

/* ---- samples.c ---- */

/* A float sample of a live series, in order or not, with a start time or not, as if there were no histograms. */
void head_sample_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                       struct mrd_head_append_result *result);

/* ---- histograms.c: chunks ---- */

struct head_histogram_write {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms;
    const struct mrd_histogram *histogram;
    struct head_stamp stamp;
};

static inline struct head_histograms *head_histograms(const struct mrd_head *head, uint32_t ordinal)
{
    return (head_hot(head, ordinal)->open.owner_flags & HOT_HISTOGRAMS) == 0
               ? NULL
               : head_at(head, *head_histograms_link(head, ordinal));
}
/* The record of a series, made if there is none; and the end of one that is empty. */
struct head_histograms *head_histograms_acquire(struct mrd_head *head, uint32_t ordinal);
void head_histograms_release(struct mrd_head *head, uint32_t ordinal);

/* Adds one that is later than all. False if it can not be stored. */
bool head_histogram_append(struct mrd_head *head, struct head_histograms *own,
                           const struct head_histogram_write *write);

/* Finds the time; true if there is a histogram. Then its chunk is decoded in the scratch, and *out_index says where. */
bool head_histogram_find(struct mrd_head *head, struct head_histograms *own, mrd_time_ms time_ms,
                         mrd_pool_handle **out_link, size_t *out_index);
/* Change what was found by the call before: give it another value or stamp (false: it can not be
 * stored), or take it out. */
bool head_histogram_replace(struct mrd_head *head, struct head_histograms *own,
                            mrd_pool_handle *link, size_t index,
                            const struct head_histogram_write *write);
void head_histogram_remove(struct mrd_head *head, struct head_histograms *own,
                           mrd_pool_handle *link, size_t index);
/* Takes the histograms of a range out of a chunk that has others too. */
void head_histogram_cut(struct mrd_head *head, struct head_histograms *own, mrd_pool_handle *link,
                        mrd_time_ms min_ms, mrd_time_ms max_ms);
/* Puts one where none is. False if it can not be stored. `hides`: see struct head_histogram_chunk. */
bool head_histogram_insert(struct mrd_head *head, struct head_histograms *own,
                           const struct head_histogram_write *write, bool hides);

void head_histogram_chunk_free(struct mrd_head *head, struct head_histograms *own,
                               mrd_pool_handle *link);
void head_histogram_scratch_free(struct mrd_head *head);

/* ---- mixed.c: histograms and floats of one series ---- */

/* A float sample of a series that has histograms. */
void head_mixed_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                      struct mrd_head_append_result *result);
void head_mixed_sweep(struct mrd_head *head, uint32_t ordinal, const struct mrd_head_sweep *sweep,
                      mrd_time_ms before_ms);
/* Takes away the floats in the place of histograms that are in the range; the greatest of their stamps. */
mrd_hlc head_mixed_erase_floats(struct mrd_head *head, uint32_t ordinal, mrd_time_ms min_ms,
                                mrd_time_ms max_ms);
/* Adds the histograms and the floats in the place of some that meet the cursor's range, in the order in which later
 * chunks count; returns how many chunks. With out = NULL it only counts. */
size_t head_mixed_append(struct mrd_head *head, uint32_t ordinal,
                         const struct mrd_head_cursor *cursor, struct mrd_head_selection *out);
bool head_mixed_overlaps(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                         mrd_time_ms time_max_ms);

/* ---- match.c ---- */

/* Whether float samples of the series may be in the range: chunks count with their whole span. */
bool head_floats_overlap(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                         mrd_time_ms time_max_ms);

/* The series of the tenant that satisfy all matchers and have samples in the range, ascending. */
enum mrd_status head_match(struct mrd_head *head, const struct mrd_head_query *query,
                           struct head_numbers *out, struct mrd_error *err);
/* Keeps those of the candidates that match, by looking at each; writes nothing of the head. */
void head_match_few(struct mrd_head *head, uint32_t tenant, const struct mrd_head_query *query,
                    struct head_numbers *candidates);
/* The shortest list that all series that match are in, of the tenant or of a label (of an indexed tenant; else count is to be 0).
 * NULL: none matches. */
struct head_list *head_shortest_list(struct mrd_head *head, uint32_t tenant,
                                     const struct mrd_matcher *matchers, size_t count);
bool head_overlaps(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                   mrd_time_ms time_max_ms);

/* ---- order.c ---- */

/* Puts live ordinals into the order of model/series_order.h. Cost: some 10 ns a series and label whose values differ, and
 * sorting the distinct ones; 20 bytes a series for the time of the call. */
MRD_MUST_CHECK enum mrd_status head_order(const struct mrd_head *head, uint32_t *ordinals,
                                          size_t count, const struct mrd_head_pause *pause,
                                          struct mrd_error *err);

/* ---- select.c ---- */

/* Adds the series as a frame, in the cursor's range. */
void head_append_series(const struct mrd_head_cursor *cursor, uint32_t ordinal,
                        struct mrd_head_selection *out);

void head_selection_add(struct mrd_head_selection *out, const struct mrd_chunk *chunk,
                        size_t weight);

/* ---- sweep.c ---- */

/* Gives a purged ordinal out again as soon as no cursor that is open now can know it. */
void head_recycle_ordinal(struct mrd_head *head, uint32_t ordinal);
/* Moves recycled ordinals that no cursor can know any more to the free list. */
void head_recycle_waiting(struct mrd_head *head);

#endif
