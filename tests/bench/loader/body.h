/* body.h: remote write 1.0 bodies (prometheus.WriteRequest, snappy block format) of a plan's requests.
 *
 * The label bytes of each device are encoded once and copied afterwards; only lengths, timestamps and
 * values are made per sample. A value of zero is left out, as proto3 writers do.
 *
 * Threads: encoders of different connections may run at the same time on one label store, since a
 * device belongs to one connection; an encoder belongs to one thread.
 */
#ifndef MRD_BENCH_LOADER_BODY_H
#define MRD_BENCH_LOADER_BODY_H

#include "base/bytes.h"
#include "loader/fleet.h"
#include "loader/plan.h"

/* Encoded labels of every device, filled as they are first needed. */
struct load_label_store;

struct load_label_store *load_label_store_create(const struct load_fleet *fleet,
                                                 const struct load_plan *plan);
void load_label_store_destroy(struct load_label_store **store);

/* Scratch memory of one connection. Zero-initialise. */
struct load_encoder {
    struct load_label_store *store;
    struct mrd_buf raw;
    struct mrd_buf compressed;
};

void load_encoder_fini(struct load_encoder *encoder);

/* What goes onto the wire, owned. */
struct load_body {
    uint8_t *data;
    size_t size;
    size_t raw_size; /* before compression */
    uint32_t sample_count;
    uint64_t tenant;
};

void load_body_fini(struct load_body *body);

/* The WriteRequest, not compressed: a view of the encoder's scratch, valid until its next use. */
struct mrd_bytes load_body_encode_raw(struct load_encoder *encoder,
                                      const struct load_request *request);

/* The compressed body; release it with load_body_fini. */
struct load_body load_body_encode(struct load_encoder *encoder, const struct load_request *request);

#endif
