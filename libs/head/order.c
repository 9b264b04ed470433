/* The order in which a selection yields its series (model/series_order.h): by metric name, then by labels.
 *
 * Labels are handles, equal texts are equal handles. So each place of the label lists is looked at by itself: the distinct
 * handles there are few, these are sorted by text, and a series' rank at that place is a number of a few bits. The ranks of
 * all places behind each other, in words of 64 bits, sort like the label sets. */
#include "base/sort.h"
#include "head/head_internal.h"

enum {
    RADIX_BITS = 11,
    RADIX = 1 << RADIX_BITS,
    WORD_BITS = 64,
    FEW = 32, /* series that are sorted by their texts directly */
};

/* One place of the label lists: the metric name, or the n-th label. */
struct place {
    uint32_t *indexes; /* of each series: into `distinct`, from 1; 0: the list is shorter */
    struct place_value {
        uint64_t prefix; /* of the value, behind what all have in common */
        mrd_pool_handle handle;
        uint32_t index;
    } * distinct;
    uint32_t *ranks; /* by index */
    size_t distinct_count;
    size_t distinct_capacity;
    bool any_short;
};

struct order {
    const struct mrd_head *head;
    struct mrd_look look;
    struct mrd_pace pace;
    mrd_pool_handle metric_name; /* 0: no series has a name */
    uint32_t *ordinals;
    size_t count;
    uint64_t *word; /* of each series: the ranks since the last sort */
    unsigned bits;  /* used of the word */
    uint32_t *permutation;
    uint32_t *scratch;
    struct place place;
};

static int pair_compare(const struct mrd_head *head, mrd_pool_handle a, mrd_pool_handle b)
{
    if (a == b) {
        return 0;
    }
    const struct head_pair *x = head_at(head, a);
    const struct head_pair *y = head_at(head, b);
    if (x->name != y->name) {
        const int names =
            mrd_bytes_compare(head_name_text(head, x->name), head_name_text(head, y->name));
        if (names != 0) {
            return names;
        }
    }
    return mrd_bytes_compare(head_pair_value(head, a), head_pair_value(head, b));
}

/* The pair of the metric name, or 0. */
static mrd_pool_handle metric_of(const struct order *order, const struct head_series *series)
{
    const uint32_t *labels = head_labels(order->head, series);
    for (size_t i = 0; i < series->label_count; i++) {
        const struct head_pair *pair = head_at(order->head, labels[i]);
        if (pair->name == order->metric_name) {
            return labels[i];
        }
    }
    return 0;
}

/* ---- a few series ---- */

static int series_compare(const void *a, const void *b, void *context)
{
    const struct order *order = context;
    const struct mrd_head *head = order->head;
    const struct head_series *x = head_series(head, *(const uint32_t *)a);
    const struct head_series *y = head_series(head, *(const uint32_t *)b);
    const mrd_pool_handle x_metric = metric_of(order, x);
    const mrd_pool_handle y_metric = metric_of(order, y);
    if (x_metric != y_metric) {
        return x_metric == 0 ? -1 : y_metric == 0 ? 1 : pair_compare(head, x_metric, y_metric);
    }
    const uint32_t *x_labels = head_labels(head, x);
    const uint32_t *y_labels = head_labels(head, y);
    const size_t count = MRD_MIN((size_t)x->label_count, (size_t)y->label_count);
    for (size_t i = 0; i < count; i++) {
        const int pairs = pair_compare(head, x_labels[i], y_labels[i]);
        if (pairs != 0) {
            return pairs;
        }
    }
    return x->label_count < y->label_count ? -1 : x->label_count > y->label_count;
}

/* ---- the distinct pairs of a place ---- */

static uint32_t place_add(struct place *place, mrd_pool_handle handle)
{
    if (place->distinct_count == place->distinct_capacity) {
        place->distinct_capacity = MRD_MAX((size_t)64, place->distinct_capacity * 2);
        place->distinct =
            reallocarray(place->distinct, place->distinct_capacity, sizeof(*place->distinct));
        mrd_assert(place->distinct != NULL);
    }
    const uint32_t index = (uint32_t)place->distinct_count + 1;
    place->distinct[place->distinct_count++] =
        (struct place_value){.handle = handle, .index = index};
    return index;
}

static mrd_pool_handle handle_at(const struct order *order, size_t i, size_t at)
{
    const struct head_series *series = head_series(order->head, order->ordinals[i]);
    if (at == 0) {
        return metric_of(order, series);
    }
    return at <= series->label_count ? head_labels(order->head, series)[at - 1] : 0;
}

static enum mrd_status place_read(struct order *order, size_t at, struct head_table *seen,
                                  struct mrd_error *err)
{
    struct place *place = &order->place;
    mrd_pool_handle last = 0;
    uint32_t last_index = 0;
    place->distinct_count = 0;
    place->any_short = false;
    for (size_t i = 0; i < order->count; i++) {
        MRD_TRY(mrd_pace(&order->pace, 2, err));
        const mrd_pool_handle handle = handle_at(order, i, at);
        if (handle == 0) {
            place->indexes[i] = 0;
            place->any_short = true;
            continue;
        }
        if (handle != last) { /* neighbours often have the same */
            uint32_t slot = head_handle_hash(handle);
            last = handle;
            last_index = head_table_next(seen, head_handle_hash(handle), &slot);
            if (last_index == 0) {
                last_index = place_add(place, handle);
                head_table_add(seen, head_handle_hash(handle), last_index);
            }
        }
        place->indexes[i] = last_index;
    }
    return MRD_OK;
}

/* How many bytes all values begin with, if all names are the same; else 0 and *out_names. */
static enum mrd_status common_prefix(struct order *order, bool *out_one_name, size_t *out_size,
                                     struct mrd_error *err)
{
    const struct mrd_head *head = order->head;
    const struct place *place = &order->place;
    const struct head_pair *first = head_at(head, place->distinct[0].handle);
    size_t size = first->value_size;
    *out_one_name = true;
    for (size_t i = 1; i < place->distinct_count && *out_one_name; i++) {
        const struct head_pair *pair = head_at(head, place->distinct[i].handle);
        size_t same = 0;
        MRD_TRY(mrd_pace(&order->pace, 2 + size / 16, err));
        *out_one_name = pair->name == first->name;
        while (same < size && same < pair->value_size && pair->value[same] == first->value[same]) {
            same++;
        }
        size = same;
    }
    *out_size = size;
    return MRD_OK;
}

/* Eight bytes in the order of texts: shorter ones are filled with zeros, so equal ones must be compared further. */
static uint64_t prefix_of(const struct head_pair *pair, size_t from)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (from + i < pair->value_size ? pair->value[from + i] : 0);
    }
    return prefix;
}

static int value_compare(const void *a, const void *b, void *context)
{
    const struct place_value *x = a;
    const struct place_value *y = b;
    const struct order *order = context;
    return x->prefix != y->prefix ? (x->prefix < y->prefix ? -1 : 1)
                                  : pair_compare(order->head, x->handle, y->handle);
}

/* Sorts the distinct pairs and fills ranks; the bits that a rank takes. */
static enum mrd_status place_rank(struct order *order, unsigned *out_bits, struct mrd_error *err)
{
    struct place *place = &order->place;
    const struct mrd_head *head = order->head;
    bool one_name = true;
    size_t common = 0;
    MRD_TRY(common_prefix(order, &one_name, &common, err));
    for (size_t i = 0; i < place->distinct_count; i++) {
        MRD_TRY(mrd_pace(&order->pace, 2, err));
        struct place_value *value = &place->distinct[i];
        value->prefix = one_name ? prefix_of(head_at(head, value->handle), common) : 0;
    }
    MRD_TRY(mrd_sort(place->distinct, place->distinct_count, sizeof(*place->distinct),
                     value_compare, order, &order->look, err));
    place->ranks = reallocarray(place->ranks, place->distinct_count + 1, sizeof(*place->ranks));
    mrd_assert(place->ranks != NULL);
    place->ranks[0] = 0;
    for (size_t i = 0; i < place->distinct_count; i++) {
        place->ranks[place->distinct[i].index] = (uint32_t)i + 1;
    }
    *out_bits = (unsigned)(WORD_BITS - __builtin_clzll((uint64_t)place->distinct_count));
    return mrd_look(&order->look, err);
}

/* ---- sorting by words ---- */

/* Stable, so what was sorted before stays where words are equal. */
static enum mrd_status radix_pass(struct order *order, unsigned shift, struct mrd_error *err)
{
    size_t starts[RADIX] = {0};
    for (size_t i = 0; i < order->count; i++) {
        MRD_TRY(mrd_pace(&order->pace, 1, err));
        starts[order->word[i] >> shift & (RADIX - 1)]++;
    }
    size_t sum = 0;
    for (size_t i = 0; i < RADIX; i++) {
        const size_t count = starts[i];
        starts[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < order->count; i++) {
        MRD_TRY(mrd_pace(&order->pace, 1, err));
        const uint32_t item = order->permutation[i];
        order->scratch[starts[order->word[item] >> shift & (RADIX - 1)]++] = item;
    }
    uint32_t *swap = order->permutation;
    order->permutation = order->scratch;
    order->scratch = swap;
    return MRD_OK;
}

static enum mrd_status word_sort(struct order *order, struct mrd_error *err)
{
    for (unsigned shift = 0; shift < order->bits; shift += RADIX_BITS) {
        MRD_TRY(radix_pass(order, shift, err));
    }
    memset(order->word, 0, order->count * sizeof(*order->word));
    order->bits = 0;
    return MRD_OK;
}

/* Places come from the last to the first, so the first decides last. */
static enum mrd_status place_apply(struct order *order, size_t at, struct mrd_error *err)
{
    struct place *place = &order->place;
    unsigned bits = 0;
    struct head_table seen = {0};
    const enum mrd_status status = place_read(order, at, &seen, err);
    head_table_fini(&seen);
    MRD_TRY(status);
    if (place->distinct_count + (place->any_short ? 1 : 0) < 2) {
        return MRD_OK;
    }
    MRD_TRY(place_rank(order, &bits, err));
    if (order->bits + bits > WORD_BITS) {
        MRD_TRY(word_sort(order, err));
    }
    for (size_t i = 0; i < order->count; i++) {
        order->word[i] |= (uint64_t)place->ranks[place->indexes[i]] << order->bits;
        MRD_TRY(mrd_pace(&order->pace, 1, err));
    }
    order->bits += bits;
    return mrd_look(&order->look, err);
}

static void *array_of(size_t count, size_t item_size)
{
    void *items = calloc(count, item_size);
    mrd_assert(items != NULL);
    return items;
}

static enum mrd_status longest_list(struct order *order, size_t *out, struct mrd_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < order->count; i++) {
        const struct head_series *series = head_series(order->head, order->ordinals[i]);
        longest = MRD_MAX(longest, (size_t)series->label_count);
        MRD_TRY(mrd_pace(&order->pace, 1, err));
    }
    *out = longest;
    return MRD_OK;
}

static enum mrd_status order_many(struct order *order, struct mrd_error *err)
{
    const size_t count = order->count;
    size_t longest = 0;
    MRD_TRY(longest_list(order, &longest, err));
    order->word = array_of(count, sizeof(uint64_t));
    order->permutation = array_of(count, sizeof(uint32_t));
    order->scratch = array_of(count, sizeof(uint32_t));
    order->place.indexes = array_of(count, sizeof(uint32_t));
    for (size_t i = 0; i < count; i++) {
        order->permutation[i] = (uint32_t)i;
    }
    enum mrd_status status = MRD_OK;
    for (size_t at = longest + 1; at-- > 0 && status == MRD_OK;) {
        status = place_apply(order, at, err);
    }
    if (status == MRD_OK) {
        status = word_sort(order, err);
    }
    for (size_t i = 0; i < count; i++) {
        order->scratch[i] = order->ordinals[order->permutation[i]];
    }
    memcpy(order->ordinals, order->scratch, count * sizeof(*order->ordinals));
    free(order->word);
    free(order->permutation);
    free(order->scratch);
    free(order->place.indexes);
    free(order->place.distinct);
    free(order->place.ranks);
    return status;
}

enum mrd_status head_order(const struct mrd_head *head, uint32_t *ordinals, size_t count,
                           const struct mrd_head_pause *pause, struct mrd_error *err)
{
    struct order order = {.head = head,
                          .metric_name = head_name_find(head, MRD_BYTES("__name__")),
                          .ordinals = ordinals,
                          .count = count};
    if (pause != NULL) {
        order.look = (struct mrd_look){pause->run, pause->context};
    }
    order.pace.look = &order.look;
    if (count > FEW) {
        return order_many(&order, err);
    }
    if (count > 1) {
        qsort_r(ordinals, count, sizeof(*ordinals), series_compare, &order);
    }
    return MRD_OK;
}
