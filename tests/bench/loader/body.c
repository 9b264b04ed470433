#include "loader/body.h"

#include <snappy-c.h>
#include <stdlib.h>

/* Field tags of prometheus.WriteRequest, TimeSeries, Label and Sample. */
enum {
    TAG_TIMESERIES = 0x0a,
    TAG_LABEL = 0x0a,
    TAG_LABEL_NAME = 0x0a,
    TAG_LABEL_VALUE = 0x12,
    TAG_SAMPLE = 0x12,
    TAG_SAMPLE_VALUE = 0x09,
    TAG_SAMPLE_TIME = 0x10,
};

/* The labels of one device's series, one after the other; series i ends where series i + 1 begins. */
struct device_labels {
    uint32_t generation;
    uint16_t begins[LOAD_DEVICE_SERIES + 1];
    uint8_t bytes[];
};

struct load_label_store {
    const struct load_fleet *fleet;
    const struct load_plan *plan;
    uint64_t device_count;
    struct device_labels *devices[];
};

static void *must_alloc(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);
    mrd_assert(memory != NULL);
    return memory;
}

struct load_label_store *load_label_store_create(const struct load_fleet *fleet,
                                                 const struct load_plan *plan)
{
    const uint64_t count = load_plan_devices(plan);
    struct load_label_store *store =
        must_alloc(sizeof(*store) + count * sizeof(struct device_labels *));
    store->fleet = fleet;
    store->plan = plan;
    store->device_count = count;
    return store;
}

void load_label_store_destroy(struct load_label_store **store)
{
    if (*store == NULL) {
        return;
    }
    for (uint64_t i = 0; i < (*store)->device_count; i++) {
        free((*store)->devices[i]);
    }
    free(*store);
    *store = NULL;
}

void load_encoder_fini(struct load_encoder *encoder)
{
    mrd_buf_fini(&encoder->raw);
    mrd_buf_fini(&encoder->compressed);
}

void load_body_fini(struct load_body *body)
{
    free(body->data);
    *body = (struct load_body){0};
}

static void append_text_field(struct mrd_buf *out, uint8_t tag, struct mrd_bytes text)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

static size_t text_field_size(struct mrd_bytes text)
{
    uint8_t size[MRD_VARINT_SIZE_MAX];
    return 1 + mrd_varint_put(size, text.size) + text.size;
}

static void append_labels(struct mrd_buf *out, const struct mrd_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_u8(out, TAG_LABEL);
        mrd_buf_append_varint(out,
                              text_field_size(labels[i].name) + text_field_size(labels[i].value));
        append_text_field(out, TAG_LABEL_NAME, labels[i].name);
        append_text_field(out, TAG_LABEL_VALUE, labels[i].value);
    }
}

static struct device_labels *device_encode(const struct load_fleet *fleet, uint64_t device,
                                           uint32_t generation)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    uint16_t begins[LOAD_DEVICE_SERIES + 1] = {0};
    for (unsigned slot = 0; slot < LOAD_DEVICE_SERIES; slot++) {
        struct load_label_texts texts;
        struct mrd_label labels[LOAD_LABELS_MAX];
        append_labels(&bytes, labels,
                      load_fleet_labels(fleet, device, generation, slot, &texts, labels));
        begins[slot + 1] = (uint16_t)bytes.size;
    }
    mrd_assert(bytes.size <= UINT16_MAX);
    struct device_labels *encoded = must_alloc(sizeof(*encoded) + bytes.size);
    encoded->generation = generation;
    memcpy(encoded->begins, begins, sizeof(begins));
    memcpy(encoded->bytes, bytes.data, bytes.size);
    return encoded;
}

static const struct device_labels *device_labels(struct load_label_store *store, uint64_t device,
                                                 uint32_t generation)
{
    mrd_assert(device < store->device_count);
    struct device_labels **at = &store->devices[device];
    if (*at == NULL || (*at)->generation != generation) {
        free(*at);
        *at = device_encode(store->fleet, device, generation);
    }
    return *at;
}

/* TimeSeries with one Sample. `out` has room for TIMESERIES_OVERHEAD_MAX bytes more than the labels. */
enum { TIMESERIES_OVERHEAD_MAX = 64 };

static size_t timeseries_put(uint8_t *out, struct mrd_bytes labels, mrd_time_ms time_ms,
                             double value)
{
    uint8_t sample[2 * MRD_VARINT_SIZE_MAX];
    size_t sample_size = 0;
    if (value != 0) {
        sample[sample_size++] = TAG_SAMPLE_VALUE;
        memcpy(sample + sample_size, &value, sizeof(value));
        sample_size += sizeof(value);
    }
    sample[sample_size++] = TAG_SAMPLE_TIME;
    sample_size += mrd_varint_put(sample + sample_size, (uint64_t)time_ms);

    uint8_t *at = out;
    *at++ = TAG_TIMESERIES;
    at += mrd_varint_put(at, labels.size + 2 + sample_size);
    memcpy(at, labels.data, labels.size);
    at += labels.size;
    *at++ = TAG_SAMPLE;
    *at++ = (uint8_t)sample_size;
    memcpy(at, sample, sample_size);
    return (size_t)(at + sample_size - out);
}

/* Samples slot_first .. slot_end of one device and scrape. */
static void append_device(struct load_encoder *encoder, const struct load_sample_place *place,
                          unsigned slot_end)
{
    struct load_label_store *store = encoder->store;
    const uint32_t generation = load_fleet_generation(store->fleet, place->device, place->scrape);
    const struct device_labels *labels = device_labels(store, place->device, generation);
    const mrd_time_ms time_ms = load_fleet_time_ms(store->fleet, place->device, place->scrape);
    double values[LOAD_DEVICE_SERIES];
    load_fleet_values(store->fleet, place->device, generation, place->scrape, values);

    const size_t labels_size = (size_t)(labels->begins[slot_end] - labels->begins[place->slot]);
    uint8_t *out = mrd_buf_reserve(
        &encoder->raw, labels_size + (slot_end - place->slot) * (size_t)TIMESERIES_OVERHEAD_MAX);
    mrd_assert(out != NULL);
    for (unsigned slot = place->slot; slot < slot_end; slot++) {
        const struct mrd_bytes series = {labels->bytes + labels->begins[slot],
                                         (size_t)(labels->begins[slot + 1] - labels->begins[slot])};
        const size_t size = timeseries_put(out, series, time_ms, values[slot]);
        out += size;
        encoder->raw.size += size;
    }
}

struct mrd_bytes load_body_encode_raw(struct load_encoder *encoder,
                                      const struct load_request *request)
{
    mrd_buf_clear(&encoder->raw);
    for (uint32_t i = 0; i < request->sample_count;) {
        const struct load_sample_place place =
            load_request_sample(encoder->store->plan, request, i);
        /* To the end of the device, of the stream's series or of the request. */
        const uint64_t left_in_stream =
            request->series_count - (request->sample_first + i) % request->series_count;
        uint64_t count = MRD_MIN((uint64_t)(LOAD_DEVICE_SERIES - place.slot), left_in_stream);
        count = MRD_MIN(count, (uint64_t)(request->sample_count - i));
        append_device(encoder, &place, place.slot + (unsigned)count);
        i += (uint32_t)count;
    }
    return mrd_buf_view(&encoder->raw);
}

struct load_body load_body_encode(struct load_encoder *encoder, const struct load_request *request)
{
    const struct mrd_bytes raw = load_body_encode_raw(encoder, request);
    size_t size = snappy_max_compressed_length(raw.size);
    mrd_buf_clear(&encoder->compressed);
    uint8_t *scratch = mrd_buf_reserve(&encoder->compressed, size);
    mrd_assert(scratch != NULL);
    const snappy_status status =
        snappy_compress((const char *)raw.data, raw.size, (char *)scratch, &size);
    mrd_assert(status == SNAPPY_OK);
    struct load_body body = {
        .data = must_alloc(size),
        .size = size,
        .raw_size = raw.size,
        .sample_count = request->sample_count,
        .tenant = request->tenant,
    };
    memcpy(body.data, scratch, size);
    return body;
}
