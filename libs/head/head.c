#include "head/head_internal.h"

enum mrd_status mrd_head_create(const struct mrd_head_options *options, struct mrd_head **out_head,
                                struct mrd_error *err)
{
    mrd_assert(options->bucket_ms >= 0 && options->bucket_ms <= HEAD_BUCKET_MS_MAX);
    mrd_auto(mrd_head_destroy)
    struct mrd_head *head = calloc(1, sizeof(*head));
    mrd_assert(head != NULL);
    head->bucket_ms = options->bucket_ms == 0 ? HEAD_BUCKET_MS_DEFAULT : options->bucket_ms;
    head->memory_bytes_limit = options->memory_bytes_limit;
    head->free_first = MRD_HEAD_ORDINAL_NONE;
    head->wait_first = MRD_HEAD_ORDINAL_NONE;
    head->wait_last = MRD_HEAD_ORDINAL_NONE;
    MRD_TRY(mrd_pool_init(&head->pool, err));
    MRD_TRY(mrd_region_init(&head->hot, HEAD_SERIES_MAX * sizeof(struct head_hot), err));
    MRD_TRY(mrd_region_init(&head->series, HEAD_SERIES_MAX * sizeof(struct head_series), err));
    MRD_TRY(mrd_region_init(&head->tenants, HEAD_SERIES_MAX * sizeof(struct head_tenant), err));
    head->tenant_end = 1;
    mrd_region_grow(&head->tenants, sizeof(struct head_tenant));
    head->encoded = malloc(mrd_chunk_size_max_started(MRD_CHUNK_SAMPLES_MAX));
    mrd_assert(head->encoded != NULL);
    *out_head = MRD_MOVE(head);
    return MRD_OK;
}

static void list_storage_free(struct mrd_head *head, struct head_list *list)
{
    if (list->capacity > 2) {
        head_list_cut(head, list, 0);
    }
}

/* Only lists can own memory outside pool, regions and tables. */
static void free_lists(struct mrd_head *head)
{
    for (uint32_t number = 1; number < head->tenant_end; number++) {
        struct head_tenant *tenant = head_tenant(head, number);
        if (tenant->name == 0) {
            continue; /* free: first_field is a link between tenants */
        }
        list_storage_free(head, &tenant->series);
        for (mrd_pool_handle at = tenant->first_field; at != 0;) {
            struct head_field *field = head_at(head, at);
            const uint32_t *values = head_list_items(head, &field->values);
            for (uint32_t i = 0; i < field->values.count; i++) {
                struct head_value *value = head_at(head, values[i]);
                list_storage_free(head, &value->series);
            }
            list_storage_free(head, &field->values);
            at = field->next;
        }
    }
}

void mrd_head_destroy(struct mrd_head **head_pointer)
{
    struct mrd_head *head = *head_pointer;
    if (head == NULL) {
        return;
    }
    mrd_assert(head->cursors == NULL);
    free_lists(head);
    head_table_fini(&head->ids);
    head_table_fini(&head->names);
    head_table_fini(&head->pairs);
    head_table_fini(&head->tenant_names);
    head_table_fini(&head->values);
    head_table_fini(&head->fields);
    head_numbers_fini(&head->dead);
    head_numbers_fini(&head->purged);
    head_numbers_fini(&head->died);
    head_numbers_fini(&head->chain);
    head_columns_reserve(head, &head->merged, 0);
    head_columns_reserve(head, &head->decoded, 0);
    free(head->encoded);
    mrd_buf_fini(&head->started);
    head_histogram_scratch_free(head);
    free(head->contested.items);
    mrd_region_fini(&head->hot);
    mrd_region_fini(&head->series);
    mrd_region_fini(&head->tenants);
    mrd_pool_fini(&head->pool);
    free(head);
    *head_pointer = NULL;
}

/* ---- numbers ---- */

void head_numbers_add(struct head_numbers *numbers, uint32_t number)
{
    if (numbers->count == numbers->capacity) {
        numbers->capacity = MRD_MAX(numbers->capacity * 2, (size_t)64);
        uint32_t *items = realloc(numbers->items, numbers->capacity * sizeof(*items));
        mrd_assert(items != NULL);
        numbers->items = items;
    }
    numbers->items[numbers->count++] = number;
}

void head_numbers_fini(struct head_numbers *numbers)
{
    free(numbers->items);
    *numbers = (struct head_numbers){0};
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a;
    const uint32_t right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

void head_numbers_sort(uint32_t *items, size_t count)
{
    if (count > 1) {
        qsort(items, count, sizeof(*items), compare_numbers);
    }
}

/* ---- series ---- */

static uint32_t id_hash(uint32_t tenant, mrd_series_id id)
{
    return (uint32_t)(id.low >> 32) ^ tenant * 0x9e3779b1U;
}

static uint32_t series_find(const struct mrd_head *head, uint32_t tenant, mrd_series_id id)
{
    const uint32_t hash = id_hash(tenant, id);
    uint32_t at = hash;
    for (;;) {
        const uint32_t found = head_table_next(&head->ids, hash, &at);
        if (found == 0) {
            return MRD_HEAD_ORDINAL_NONE;
        }
        const struct head_series *series = head_series(head, found - 1);
        if (mrd_id128_equal(series->id, id) && series->tenant == tenant) {
            return found - 1;
        }
    }
}

void head_series_forget(struct mrd_head *head, uint32_t ordinal)
{
    const struct head_series *series = head_series(head, ordinal);
    head_table_remove(&head->ids, id_hash(series->tenant, series->id), ordinal + 1);
}

static uint32_t take_ordinal(struct mrd_head *head)
{
    const uint32_t ordinal = head->free_first;
    if (ordinal != MRD_HEAD_ORDINAL_NONE) {
        head->free_first = head_series(head, ordinal)->next;
        return ordinal;
    }
    mrd_assert(head->series_end < HEAD_SERIES_MAX);
    const size_t count = ++head->series_end;
    mrd_region_grow(&head->hot, count * sizeof(struct head_hot));
    mrd_region_grow(&head->series, count * sizeof(struct head_series));
    return head->series_end - 1;
}

/* Splits canonical bytes into labels; MRD_E_CORRUPT if they are not canonical. */
static enum mrd_status split_labels(struct mrd_bytes bytes, struct head_label *labels,
                                    size_t *out_count, struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    size_t count = 0;
    while (mrd_reader_left(&reader) > 0) {
        const struct mrd_bytes name = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        const struct mrd_bytes value = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        if (reader.failed || name.size == 0 || value.size == 0 ||
            (count > 0 && mrd_bytes_compare(labels[count - 1].name, name) >= 0)) {
            return mrd_fail(err, MRD_E_CORRUPT, "head: label bytes are not canonical");
        }
        if (count == HEAD_LABELS_MAX || name.size > HEAD_LABEL_SIZE_MAX ||
            value.size > HEAD_LABEL_SIZE_MAX) {
            return mrd_fail(err, MRD_E_INVALID,
                            "head: a series may have %d labels of %d bytes, not more",
                            HEAD_LABELS_MAX, HEAD_LABEL_SIZE_MAX);
        }
        labels[count++] = head_label_of(name, value);
    }
    *out_count = count;
    return MRD_OK;
}

static void set_labels(struct mrd_head *head, struct head_series *series,
                       const struct head_label *labels, size_t count)
{
    series->label_count = (uint16_t)count;
    if (count == 0) {
        return;
    }
    series->labels = head_alloc(head, MRD_HEAD_MEMORY_LABELS, count * 4);
    mrd_pool_handle *pairs = head_at(head, series->labels);
    for (size_t i = 0; i < count; i++) {
        pairs[i] = head_pair_acquire(head, &labels[i]);
    }
}

static uint32_t series_create(struct mrd_head *head, const struct mrd_head_series_key *key,
                              const struct head_label *labels, size_t count)
{
    const uint32_t tenant = head_tenant_acquire(head, key->tenant);
    const uint32_t ordinal = take_ordinal(head);
    struct head_series *series = head_series(head, ordinal);
    *series = (struct head_series){.id = key->id, .tenant = tenant, .state = SERIES_LIVE};
    set_labels(head, series, labels, count);
    struct head_hot *hot = head_hot(head, ordinal);
    *hot = (struct head_hot){.bucket_end_ms = INT64_MIN};
    hot->open.last_time_ms = INT64_MIN;
    hot->open.owner_flags = HOT_LIVE;
    head_table_add(&head->ids, id_hash(tenant, key->id), ordinal + 1);
    head_index_add(head, ordinal);
    head->memory_bytes[MRD_HEAD_MEMORY_SERIES] += sizeof(*hot) + sizeof(*series);
    head->series_count++;
    head->series_created++;
    return ordinal;
}

static enum mrd_status over_budget(const struct mrd_head *head, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT,
                    "head: %zu bytes in use, more than the limit of %zu (memory_bytes_limit)",
                    head_memory_total(head), head->memory_bytes_limit);
}

enum mrd_status mrd_head_series(struct mrd_head *head, const struct mrd_head_series_key *key,
                                mrd_hlc hlc, uint32_t *out_ordinal, struct mrd_error *err)
{
    const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(hlc) / 1000);
    const uint32_t tenant = head_tenant_find(head, key->tenant);
    if (tenant != 0) {
        const uint32_t ordinal = series_find(head, tenant, key->id);
        if (ordinal != MRD_HEAD_ORDINAL_NONE) {
            struct head_series *series = head_series(head, ordinal);
            series->touched_s = MRD_MAX(series->touched_s, touched_s);
            *out_ordinal = ordinal;
            return MRD_OK;
        }
    }
    if (mrd_head_over_budget(head)) {
        return over_budget(head, err);
    }
    struct head_label labels[HEAD_LABELS_MAX];
    size_t count = 0;
    MRD_TRY(split_labels(key->labels, labels, &count, err));
    *out_ordinal = series_create(head, key, labels, count);
    head_series(head, *out_ordinal)->touched_s = touched_s;
    return MRD_OK;
}

enum mrd_status mrd_head_known(struct mrd_head *head, struct mrd_bytes tenant,
                               const mrd_series_id *ids, size_t count,
                               const struct mrd_head_pause *pause, uint8_t *bits,
                               uint64_t *out_total, struct mrd_error *err)
{
    const uint32_t number = head_tenant_find(head, tenant);
    memset(bits, 0, (count + 7) / 8);
    if (number == 0) {
        *out_total = 0;
        return MRD_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const bool known = series_find(head, number, ids[i]) != MRD_HEAD_ORDINAL_NONE;
        bits[i / 8] = (uint8_t)(bits[i / 8] | (known ? 1U << (i % 8) : 0));
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_ITEMS, err));
    }
    *out_total = head_tenant(head, number)->series.count;
    return MRD_OK;
}

/* ---- figures ---- */

static size_t tables_bytes(const struct mrd_head *head)
{
    return head_table_bytes(&head->names) + head_table_bytes(&head->pairs) +
           head_table_bytes(&head->tenant_names) + head_table_bytes(&head->values) +
           head_table_bytes(&head->fields);
}

size_t head_memory_total(const struct mrd_head *head)
{
    return head->pool.held_bytes + head->hot.size_bytes + head->series.size_bytes +
           head->tenants.size_bytes + head->arrays_bytes + head_table_bytes(&head->ids) +
           tables_bytes(head);
}

bool mrd_head_over_budget(const struct mrd_head *head)
{
    return head->memory_bytes_limit != 0 && head_memory_total(head) > head->memory_bytes_limit;
}

void mrd_head_stats(const struct mrd_head *head, struct mrd_head_stats *out)
{
    *out = (struct mrd_head_stats){
        .memory_bytes_total = head_memory_total(head),
        .series_count = head->series_count,
        .tenant_count = head->tenant_count,
        .sample_count = head->sample_count,
        .histogram_count = head->histogram_count,
        .series_created = head->series_created,
        .series_removed = head->series_removed,
    };
    memcpy(out->memory_bytes, head->memory_bytes, sizeof(out->memory_bytes));
    out->memory_bytes[MRD_HEAD_MEMORY_SERIES] += head_table_bytes(&head->ids);
    out->memory_bytes[MRD_HEAD_MEMORY_LABELS] +=
        head_table_bytes(&head->names) + head_table_bytes(&head->pairs);
    out->memory_bytes[MRD_HEAD_MEMORY_INDEX] += head_table_bytes(&head->tenant_names) +
                                                head_table_bytes(&head->values) +
                                                head_table_bytes(&head->fields);
}

const char *mrd_head_memory_name(enum mrd_head_memory category)
{
    static const char *const names[MRD_HEAD_MEMORY_COUNT] = {
        "series", "labels", "index", "open", "sealed", "overlay", "histograms"};
    return names[category];
}
