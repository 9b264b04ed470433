/* remote_write_v2.h: a walk over the bytes of a remote-write 2.0 Request (io.prometheus.write.v2.Request).
 *
 * Like the walk over 1.0 (remote_write.h), whose series it returns, but that labels are references into the request's table
 * of symbols: `labels` of a series are its references, packed. The same references mean something else in the next
 * request, so a series is recognised by a key over the *hashes of the symbols* that it names: each symbol is hashed once
 * per request (128 bits, seeded with a secret), and a key is two polynomials over those hashes, one per half. Equal names
 * and values in the same order have equal keys in every request; for others to have one, both halves would have to
 * collide.
 *
 * Source: the Remote-Write 2.0 specification and prompb/io/prometheus/write/v2/types.proto.
 * Threads: plain values. Bounds: MRD_RW2_SYMBOLS_MAX symbols; memory is the arena's, 32 bytes a symbol.
 */
#ifndef MRD_WIRE_REMOTE_WRITE_V2_H
#define MRD_WIRE_REMOTE_WRITE_V2_H

#include "base/hash.h"
#include "model/exemplar.h"
#include "model/metadata.h"
#include "wire/remote_write.h"

enum { MRD_RW2_SYMBOLS_MAX = 1 << 20 };

struct mrd_rw2_walk {
    struct mrd_rw_walk base;
    const struct mrd_bytes *symbols;
    const struct mrd_id128 *hashes; /* of the symbols */
    size_t symbol_count;
    uint32_t name_symbol; /* of "__name__"; 0 if there is none */
};

/* Reads the table of symbols. MRD_E_INVALID if the message is malformed, its first symbol is not empty, or it is one of
 * remote write 1.0; MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_walk_init(struct mrd_rw2_walk *walk,
                                                 struct mrd_bytes message, struct mrd_arena *arena,
                                                 uint64_t hash_seed, struct mrd_error *err);

/* As mrd_rw_walk_next and mrd_rw_walk_rest. totals.metadata counts series with metadata. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_walk_next(struct mrd_rw2_walk *walk,
                                                 struct mrd_rw_series *out_series, size_t count_max,
                                                 size_t *out_count, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_rw2_walk_rest(const struct mrd_rw2_walk *walk,
                                                 struct mrd_rw_totals *out_totals,
                                                 struct mrd_error *err);

/* The key of a series' labels. False if references are out of range or odd in number: mrd_rw2_labels_read says which. */
MRD_MUST_CHECK bool mrd_rw2_key(const struct mrd_rw2_walk *walk, struct mrd_bytes labels,
                                struct mrd_id128 *out);

/* Reads one sample after the other: `*rest` starts as series.samples. *out_start_ms 0: unknown. */
bool mrd_rw2_samples_next(struct mrd_bytes *rest, struct mrd_sample *out,
                          mrd_time_ms *out_start_ms);

/* As mrd_rw_labels_read: views of symbols in the sender's order, not validated. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_labels_read(const struct mrd_rw2_walk *walk,
                                                   struct mrd_bytes labels, struct mrd_label *items,
                                                   size_t *out_count, struct mrd_error *err);

/* As mrd_rw_exemplar_read. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_exemplar_read(const struct mrd_rw2_walk *walk,
                                                     struct mrd_bytes message,
                                                     struct mrd_label *items, size_t *out_count,
                                                     struct mrd_exemplar *out,
                                                     struct mrd_error *err);

/* What a series' metadata says, as numbers: cheap to compare with that of the series before. */
struct mrd_rw2_metadata {
    enum mrd_family_type type;
    uint32_t name_symbol; /* of the metric's name; 0: it has none */
    uint32_t help_symbol;
    uint32_t unit_symbol;
};

/* MRD_E_INVALID: malformed, or a reference is out of range. The series has_metadata, and its key was made. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_metadata_read(const struct mrd_rw2_walk *walk,
                                                     const struct mrd_rw_series *series,
                                                     struct mrd_rw2_metadata *out,
                                                     struct mrd_error *err);

#endif
