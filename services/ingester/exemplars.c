#include "ingester/exemplars.h"

#include <stdlib.h>

#include "ingester/sorted.h"

enum {
    LABEL_BYTES_MAX = 2048, /* 128 characters of 4 bytes in names and values, with their sizes */
    SERIES_BYTES_MAX = 4096,
    RING_CAPACITY_MIN = 16,
    LABELS_ARENA_BYTES = 1 << 20, /* of one series */
    SERIES_PER_LOOK = 64,
    EXEMPLARS_PER_LOOK = 1024,
    NONE = -1,
};

struct series {
    struct mrd_bytes labels; /* behind the struct */
    int64_t oldest;          /* places in the ring */
    int64_t newest;
    bool selected; /* while erasing */
};

struct entry {
    struct mrd_exemplar exemplar; /* labels: memory of its own */
    struct series *series;
    int64_t next; /* newer one of the same series, or NONE */
};

struct tenant {
    struct mrd_bytes name; /* behind the struct */
    struct entry *ring;
    size_t capacity;
    size_t count;
    size_t first;             /* the oldest; 0 until the ring is full */
    struct ing_sorted series; /* by labels */
};

struct ing_exemplars {
    struct ing_sorted tenants; /* by name */
    size_t memory;
    size_t count;
};

static struct mrd_bytes tenant_name(const void *tenant)
{
    return ((const struct tenant *)tenant)->name;
}

static struct mrd_bytes series_labels(const void *series)
{
    return ((const struct series *)series)->labels;
}

struct ing_exemplars *ing_exemplars_create(void)
{
    struct ing_exemplars *exemplars = calloc(1, sizeof(*exemplars));
    mrd_assert(exemplars != NULL);
    exemplars->tenants.key = tenant_name;
    return exemplars;
}

static void free_bytes(struct mrd_bytes bytes) { free((void *)(uintptr_t)bytes.data); }

void ing_exemplars_destroy(struct ing_exemplars **exemplars)
{
    if (*exemplars == NULL) {
        return;
    }
    struct ing_exemplars *self = MRD_MOVE(*exemplars);
    for (size_t t = 0; t < self->tenants.count; t++) {
        struct tenant *tenant = self->tenants.items[t];
        for (size_t i = 0; i < tenant->count; i++) {
            free_bytes(tenant->ring[i].exemplar.labels);
        }
        ing_sorted_fini(&tenant->series);
        free(tenant->ring);
    }
    ing_sorted_fini(&self->tenants);
    free(self);
}

size_t ing_exemplars_memory(const struct ing_exemplars *exemplars) { return exemplars->memory; }
size_t ing_exemplars_count(const struct ing_exemplars *exemplars) { return exemplars->count; }

/* ---- tenants and series ---- */

static struct tenant *tenant_acquire(struct ing_exemplars *exemplars, struct mrd_bytes name)
{
    bool found;
    const size_t place = ing_sorted_place(&exemplars->tenants, name, &found);
    if (found) {
        return exemplars->tenants.items[place];
    }
    struct tenant *tenant = calloc(1, sizeof(*tenant) + name.size);
    mrd_assert(tenant != NULL);
    memcpy(tenant + 1, name.data, name.size);
    tenant->name = (struct mrd_bytes){(const uint8_t *)(tenant + 1), name.size};
    tenant->series.key = series_labels;
    exemplars->memory += sizeof(*tenant) + name.size;
    exemplars->memory += ing_sorted_insert(&exemplars->tenants, place, tenant);
    return tenant;
}

static size_t series_size(const struct series *series)
{
    return sizeof(*series) + series->labels.size;
}

static struct series *series_create(struct ing_exemplars *exemplars, struct tenant *tenant,
                                    size_t place, struct mrd_bytes labels)
{
    struct series *series = malloc(sizeof(*series) + labels.size);
    mrd_assert(series != NULL);
    *series = (struct series){
        .labels = {(const uint8_t *)(series + 1), labels.size},
          .oldest = NONE, .newest = NONE
    };
    if (labels.size > 0) {
        memcpy(series + 1, labels.data, labels.size);
    }
    exemplars->memory += series_size(series) + ing_sorted_insert(&tenant->series, place, series);
    return series;
}

static void series_remove(struct ing_exemplars *exemplars, struct tenant *tenant,
                          struct series *series)
{
    bool found;
    (void)ing_sorted_remove(&tenant->series,
                            ing_sorted_place(&tenant->series, series->labels, &found));
    exemplars->memory -= series_size(series);
    free(series);
}

/* ---- the ring ---- */

static void take_out_oldest(struct ing_exemplars *exemplars, struct tenant *tenant)
{
    struct entry *entry = &tenant->ring[tenant->first];
    struct series *series = entry->series;
    exemplars->memory -= entry->exemplar.labels.size;
    free_bytes(entry->exemplar.labels);
    series->oldest = entry->next; /* the oldest of all is the oldest of its series */
    if (series->oldest == NONE) {
        series_remove(exemplars, tenant, series);
    }
}

/* The new place of an entry of a ring of `size` that began at `first` and now begins at 0. */
static int64_t place_turned(int64_t place, size_t first, size_t size)
{
    return place == NONE ? NONE : (int64_t)(((size_t)place + size - first) % size);
}

/* Of a ring whose bound has changed the newest stay, the oldest of them in the first place. */
static void ring_turn(struct ing_exemplars *exemplars, struct tenant *tenant, size_t keep)
{
    const size_t size = tenant->count;
    for (; tenant->count > keep; tenant->count--, exemplars->count--) {
        take_out_oldest(exemplars, tenant);
        tenant->first = (tenant->first + 1) % size;
    }
    struct entry *turned = calloc(keep + 1, sizeof(*turned));
    mrd_assert(turned != NULL);
    for (size_t i = 0; i < keep; i++) {
        turned[i] = tenant->ring[(tenant->first + i) % size];
        turned[i].next = place_turned(turned[i].next, tenant->first, size);
    }
    for (size_t i = 0; i < tenant->series.count; i++) {
        struct series *series = tenant->series.items[i];
        series->oldest = place_turned(series->oldest, tenant->first, size);
        series->newest = place_turned(series->newest, tenant->first, size);
    }
    free(tenant->ring);
    exemplars->memory -= (tenant->capacity - keep) * sizeof(*turned);
    tenant->ring = turned;
    tenant->capacity = keep;
    tenant->first = 0;
}

/* Brings the ring within the tenant's bound, which may have changed since the last time. */
static void ring_fit(struct ing_exemplars *exemplars, struct tenant *tenant, size_t exemplars_max)
{
    if (tenant->count > exemplars_max || (tenant->count < exemplars_max && tenant->first != 0)) {
        ring_turn(exemplars, tenant, MRD_MIN(tenant->count, exemplars_max));
    }
}

static void ring_grow(struct ing_exemplars *exemplars, struct tenant *tenant, size_t exemplars_max)
{
    const size_t capacity =
        MRD_MIN(MRD_MAX(tenant->capacity * 2, (size_t)RING_CAPACITY_MIN), exemplars_max);
    tenant->ring = reallocarray(tenant->ring, capacity, sizeof(*tenant->ring));
    mrd_assert(tenant->ring != NULL);
    exemplars->memory += (capacity - tenant->capacity) * sizeof(*tenant->ring);
    tenant->capacity = capacity;
}

/* A place for one more; what it makes way for is gone. */
static size_t ring_place(struct ing_exemplars *exemplars, struct tenant *tenant,
                         size_t exemplars_max)
{
    if (tenant->count < exemplars_max) {
        if (tenant->count == tenant->capacity) {
            ring_grow(exemplars, tenant, exemplars_max);
        }
        exemplars->count++;
        return tenant->count++;
    }
    const size_t place = tenant->first;
    take_out_oldest(exemplars, tenant);
    tenant->first = (tenant->first + 1) % tenant->count;
    return place;
}

static struct mrd_bytes copy_bytes(struct mrd_bytes bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);
    mrd_assert(copy != NULL);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return (struct mrd_bytes){copy, bytes.size};
}

/* ---- adding ---- */

static int compare_values(double a, double b) { return a < b ? -1 : a > b; }

static enum ing_exemplar_result check(const struct tenant *tenant, const struct series *series,
                                      const struct mrd_exemplar *exemplar)
{
    const struct mrd_exemplar *newest = &tenant->ring[series->newest].exemplar;
    const int labels = mrd_bytes_compare(exemplar->labels, newest->labels);
    const bool same_time = exemplar->time_ms == newest->time_ms;
    const int values = compare_values(exemplar->value, newest->value);
    if (same_time && labels == 0 &&
        mrd_double_bits(exemplar->value) == mrd_double_bits(newest->value)) {
        return ING_EXEMPLAR_DUPLICATE;
    }
    const bool before = exemplar->time_ms < newest->time_ms ||
                        (same_time && (values < 0 || (values == 0 && labels < 0)));
    return before ? ING_EXEMPLAR_OUT_OF_ORDER : ING_EXEMPLAR_TAKEN;
}

/* None are to be kept any more of a tenant that may have had some. */
static void forget_all(struct ing_exemplars *exemplars, struct mrd_bytes tenant)
{
    struct tenant *own = ing_sorted_find(&exemplars->tenants, tenant);
    if (own != NULL) {
        ring_fit(exemplars, own, 0);
    }
}

enum ing_exemplar_result ing_exemplars_add(struct ing_exemplars *exemplars, struct mrd_bytes tenant,
                                           size_t exemplars_max, struct mrd_bytes labels,
                                           const struct mrd_exemplar *exemplar)
{
    if (exemplars_max == 0) {
        forget_all(exemplars, tenant);
        return ING_EXEMPLAR_REFUSED;
    }
    if (exemplar->labels.size > LABEL_BYTES_MAX || labels.size > SERIES_BYTES_MAX) {
        return ING_EXEMPLAR_REFUSED;
    }
    struct tenant *own = tenant_acquire(exemplars, tenant);
    bool known;
    ring_fit(exemplars, own, exemplars_max);
    size_t at = ing_sorted_place(&own->series, labels, &known);
    if (known) {
        const enum ing_exemplar_result result = check(own, own->series.items[at], exemplar);
        if (result != ING_EXEMPLAR_TAKEN) {
            return result;
        }
    }
    const size_t place =
        ring_place(exemplars, own, exemplars_max); /* the series may go with what made way */
    at = ing_sorted_place(&own->series, labels, &known);
    struct series *series =
        known ? own->series.items[at] : series_create(exemplars, own, at, labels);
    own->ring[place] = (struct entry){
        .exemplar = {exemplar->time_ms, exemplar->value, copy_bytes(exemplar->labels)},
        .series = series,
        .next = NONE
    };
    exemplars->memory += exemplar->labels.size;
    if (series->newest != NONE) {
        own->ring[series->newest].next = (int64_t)place;
    } else {
        series->oldest = (int64_t)place;
    }
    series->newest = (int64_t)place;
    return ING_EXEMPLAR_TAKEN;
}

/* ---- erasing ---- */

/* Finds the series that the erasure selects. Others may read in between: nothing else is changed. */
static void select_series(struct tenant *tenant, const struct mrd_erasure *erasure,
                          const struct mrd_look *let_in)
{
    struct mrd_arena *arena = mrd_arena_create("labels of a series", LABELS_ARENA_BYTES);
    for (size_t i = 0; i < tenant->series.count; i++) {
        struct series *series = tenant->series.items[i];
        struct mrd_labels labels;
        mrd_arena_reset(arena);
        const enum mrd_status status = mrd_labels_decode(series->labels, arena, &labels, NULL);
        mrd_assert(status == MRD_OK); /* a head has had them, and they are bounded */
        series->selected = mrd_erasure_selects(erasure, labels);
        if (i % SERIES_PER_LOOK == SERIES_PER_LOOK - 1) {
            mrd_assert(mrd_look(let_in, NULL) == MRD_OK);
        }
    }
    mrd_arena_destroy(&arena);
}

static void entries_take(struct tenant *tenant)
{
    for (size_t i = 0; i < tenant->series.count; i++) {
        struct series *series = tenant->series.items[i];
        series->oldest = NONE;
        series->newest = NONE;
    }
}

static void ring_append(struct entry *ring, size_t place, const struct entry *entry)
{
    struct series *series = entry->series;
    ring[place] = *entry;
    ring[place].next = NONE;
    if (series->newest != NONE) {
        ring[series->newest].next = (int64_t)place;
    } else {
        series->oldest = (int64_t)place;
    }
    series->newest = (int64_t)place;
}

uint64_t ing_exemplars_erase(struct ing_exemplars *exemplars, const struct mrd_erasure *erasure,
                             const struct mrd_look *let_in)
{
    struct tenant *tenant = ing_sorted_find(&exemplars->tenants, erasure->tenant);
    if (tenant == NULL || tenant->count == 0) {
        return 0;
    }
    select_series(tenant, erasure, let_in);
    entries_take(tenant);
    struct entry *ring = reallocarray(NULL, tenant->capacity, sizeof(*ring));
    mrd_assert(ring != NULL);
    size_t kept = 0;
    for (size_t i = 0; i < tenant->count; i++) {
        const struct entry *entry = &tenant->ring[(tenant->first + i) % tenant->count];
        if (entry->series->selected && mrd_erasure_has_time(erasure, entry->exemplar.time_ms)) {
            exemplars->memory -= entry->exemplar.labels.size;
            free_bytes(entry->exemplar.labels);
        } else {
            ring_append(ring, kept++, entry);
        }
    }
    const size_t erased = tenant->count - kept;
    exemplars->count -= erased;
    free(tenant->ring);
    tenant->ring = ring;
    tenant->count = kept;
    tenant->first = 0;
    for (size_t i = tenant->series.count; i-- > 0;) {
        struct series *series = tenant->series.items[i];
        if (series->oldest == NONE) {
            series_remove(exemplars, tenant, series);
        }
    }
    return erased;
}

/* ---- asking ---- */

enum mrd_status ing_exemplars_select(const struct ing_exemplars *exemplars,
                                     const struct ing_exemplar_query *query,
                                     struct mrd_arena *arena,
                                     void (*emit)(void *context, struct mrd_bytes labels,
                                                  const struct mrd_exemplar *exemplar),
                                     void *context, struct mrd_error *err)
{
    const struct tenant *tenant = ing_sorted_find(&exemplars->tenants, query->tenant);
    size_t unlooked = 0; /* exemplars since the last look */
    for (size_t i = 0; tenant != NULL && i < tenant->series.count; i++) {
        const struct series *series = tenant->series.items[i];
        struct mrd_labels labels;
        mrd_arena_reset(arena);
        if (i % SERIES_PER_LOOK == SERIES_PER_LOOK - 1) {
            MRD_TRY(mrd_look(&query->look, err));
        }
        MRD_TRY(mrd_labels_decode(series->labels, arena, &labels, err));
        if (!mrd_matchers_match(query->matchers, query->matcher_count, labels)) {
            continue;
        }
        for (int64_t at = series->oldest; at != NONE; at = tenant->ring[at].next) {
            const struct mrd_exemplar *exemplar = &tenant->ring[at].exemplar;
            if (exemplar->time_ms >= query->time_min_ms &&
                exemplar->time_ms <= query->time_max_ms) {
                emit(context, series->labels, exemplar);
            }
            if (++unlooked == EXEMPLARS_PER_LOOK) {
                unlooked = 0;
                MRD_TRY(mrd_look(&query->look, err));
            }
        }
    }
    return MRD_OK;
}
