#include "tsdb/index.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tsdb/tsdb_internal.h"

enum {
    HEAD_SIZE = 5,
    TOC_SIZE = 8 * MRD_TSDB_TOC_SECTIONS + MRD_TSDB_CRC_SIZE,
    SYMBOLS_A_PLACE = 32,
};

static enum mrd_status corrupt(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "index: %s", what);
}

/* ---- sections ---- */

static struct mrd_reader reader_at(struct mrd_bytes bytes, uint64_t at)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    (void)mrd_read_bytes(&reader, at);
    return reader;
}

/* What a section at a place says, without its size and its checksum, which is checked. */
static enum mrd_status section_read(const struct mrd_tsdb_index *index, uint64_t at,
                                    const char *what, struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_reader reader = reader_at(index->bytes, at);
    const struct mrd_bytes section = mrd_read_bytes(&reader, mrd_tsdb_read_u32(&reader));
    if (reader.failed) {
        return mrd_fail(err, MRD_E_CORRUPT, "index: %s at %" PRIu64 " do not fit into %zu bytes",
                        what, at, index->bytes.size);
    }
    if (!mrd_tsdb_crc_fits(&reader, section)) {
        return mrd_fail(err, MRD_E_CORRUPT, "index: the checksum of the %s is wrong", what);
    }
    *out = section;
    return MRD_OK;
}

static enum mrd_status toc_read(struct mrd_bytes bytes, uint64_t toc[MRD_TSDB_TOC_SECTIONS],
                                struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    if (bytes.size < HEAD_SIZE + TOC_SIZE || mrd_tsdb_read_u32(&reader) != MRD_TSDB_INDEX_MAGIC) {
        return corrupt("not such a file", err);
    }
    const unsigned version = mrd_read_u8(&reader);
    if (version != MRD_TSDB_FORMAT_2 && version != MRD_TSDB_FORMAT_3) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "index: version %u: 2 and 3 are known; let a Prometheus compact the block",
                        version);
    }
    reader = reader_at(bytes, bytes.size - TOC_SIZE);
    const struct mrd_bytes table = {reader.at, TOC_SIZE - MRD_TSDB_CRC_SIZE};
    for (size_t i = 0; i < MRD_TSDB_TOC_SECTIONS; i++) {
        toc[i] = mrd_tsdb_read_u64(&reader);
    }
    return mrd_tsdb_crc_fits(&reader, table)
               ? MRD_OK
               : corrupt("the checksum of the table of contents is wrong", err);
}

/* ---- symbols ---- */

static enum mrd_status symbols_read(struct mrd_tsdb_index *index, uint64_t at,
                                    struct mrd_error *err)
{
    struct mrd_bytes section;
    MRD_TRY(section_read(index, at, "symbols", &section, err));
    struct mrd_reader reader = mrd_reader_of(section);
    const uint64_t count = mrd_tsdb_read_u32(&reader);
    index->symbols = (struct mrd_bytes){reader.at, mrd_reader_left(&reader)};
    if (count > index->symbols.size) {
        return corrupt("more symbols than bytes of them", err);
    }
    index->symbol_places = calloc(count / SYMBOLS_A_PLACE + 1, sizeof(*index->symbol_places));
    if (index->symbol_places == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "index: no memory for the places of %" PRIu64 " symbols",
                        count);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (i % SYMBOLS_A_PLACE == 0) {
            index->symbol_places[i / SYMBOLS_A_PLACE] = (uint64_t)(reader.at - index->symbols.data);
        }
        (void)mrd_tsdb_read_text(&reader);
    }
    index->symbol_count = count;
    return reader.failed ? corrupt("malformed symbols", err) : MRD_OK;
}

static bool symbol_get(const struct mrd_tsdb_index *index, uint64_t number, struct mrd_bytes *out)
{
    if (number >= index->symbol_count) {
        return false;
    }
    struct mrd_reader reader =
        reader_at(index->symbols, index->symbol_places[number / SYMBOLS_A_PLACE]);
    for (uint64_t i = 0; i < number % SYMBOLS_A_PLACE; i++) {
        (void)mrd_tsdb_read_text(&reader);
    }
    *out = mrd_tsdb_read_text(&reader);
    return !reader.failed;
}

/* ---- the list of all series ---- */

/* The list of the pair ("", ""), the first in the table. */
static enum mrd_status all_find(struct mrd_bytes table, uint64_t *out, struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(table);
    const uint64_t count = mrd_tsdb_read_u32(&reader);
    for (uint64_t i = 0; i < count && !reader.failed; i++) {
        const uint64_t parts = mrd_read_varint(&reader);
        const struct mrd_bytes name = mrd_tsdb_read_text(&reader);
        const struct mrd_bytes value = mrd_tsdb_read_text(&reader);
        const uint64_t at = mrd_read_varint(&reader);
        if (reader.failed || parts != 2) {
            break;
        }
        if (name.size == 0 && value.size == 0) {
            *out = at;
            return MRD_OK;
        }
    }
    return count == 0 ? mrd_fail(err, MRD_E_NOT_FOUND, "no list")
                      : corrupt("the table of label pairs is malformed or lacks all series", err);
}

static enum mrd_status all_read(struct mrd_tsdb_index *index, uint64_t table_at,
                                struct mrd_error *err)
{
    struct mrd_bytes table;
    struct mrd_bytes list;
    uint64_t at = 0;
    MRD_TRY(section_read(index, table_at, "label pairs", &table, err));
    const enum mrd_status found = all_find(table, &at, err);
    if (found != MRD_OK) {
        return found == MRD_E_NOT_FOUND ? MRD_OK : found; /* a block without series */
    }
    MRD_TRY(section_read(index, at, "list of all series", &list, err));
    struct mrd_reader reader = mrd_reader_of(list);
    const uint64_t count = mrd_tsdb_read_u32(&reader);
    index->series_refs = mrd_read_bytes(&reader, count * sizeof(uint32_t));
    index->series_count = (size_t)count;
    return reader.failed || mrd_reader_left(&reader) > 0
               ? corrupt("the list of all series is malformed", err)
               : MRD_OK;
}

enum mrd_status mrd_tsdb_index_init(struct mrd_tsdb_index *index, struct mrd_bytes bytes,
                                    struct mrd_error *err)
{
    uint64_t toc[MRD_TSDB_TOC_SECTIONS];
    mrd_auto(mrd_tsdb_index_fini)
    struct mrd_tsdb_index made = {.bytes = bytes};
    MRD_TRY(toc_read(bytes, toc, err));
    if (toc[MRD_TSDB_SYMBOLS] == 0 || toc[MRD_TSDB_POSTINGS_TABLE] == 0) {
        return corrupt("it has no symbols or no label pairs", err);
    }
    made.series_at = toc[MRD_TSDB_SERIES];
    MRD_TRY(symbols_read(&made, toc[MRD_TSDB_SYMBOLS], err));
    MRD_TRY(all_read(&made, toc[MRD_TSDB_POSTINGS_TABLE], err));
    *index = made;
    made = (struct mrd_tsdb_index){0};
    return MRD_OK;
}

void mrd_tsdb_index_fini(struct mrd_tsdb_index *index)
{
    free(index->symbol_places);
    *index = (struct mrd_tsdb_index){0};
}

/* ---- one series ---- */

static enum mrd_status labels_read(const struct mrd_tsdb_index *index, struct mrd_reader *reader,
                                   struct mrd_arena *arena, struct mrd_labels *out,
                                   struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(reader);
    if (reader->failed || count > mrd_reader_left(reader) / 2) {
        return corrupt("a series has more labels than bytes", err);
    }
    struct mrd_label *items = mrd_arena_alloc_array(arena, (size_t)count + 1, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t name = mrd_read_varint(reader);
        const uint64_t value = mrd_read_varint(reader);
        if (reader->failed || !symbol_get(index, name, &items[i].name) ||
            !symbol_get(index, value, &items[i].value)) {
            return corrupt("a series names a symbol that there is not", err);
        }
        if (i > 0 && mrd_bytes_compare(items[i - 1].name, items[i].name) >= 0) {
            return corrupt("the labels of a series are not in order", err);
        }
    }
    *out = (struct mrd_labels){items, (size_t)count};
    return MRD_OK;
}

static void chunk_read(struct mrd_reader *reader, struct mrd_tsdb_chunk_meta *chunks, size_t at)
{
    struct mrd_tsdb_chunk_meta *chunk = &chunks[at];
    if (at == 0) {
        chunk->min_ms = mrd_read_zigzag(reader);
    } else {
        chunk->min_ms = (mrd_time_ms)((uint64_t)chunks[at - 1].max_ms + mrd_read_varint(reader));
    }
    chunk->max_ms = (mrd_time_ms)((uint64_t)chunk->min_ms + mrd_read_varint(reader));
    if (at == 0) {
        chunk->ref = mrd_read_varint(reader);
    } else {
        chunk->ref = chunks[at - 1].ref + (uint64_t)mrd_read_zigzag(reader);
    }
}

static enum mrd_status chunks_read(struct mrd_reader *reader, struct mrd_arena *arena,
                                   struct mrd_tsdb_series *out, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(reader);
    if (reader->failed || count > mrd_reader_left(reader) / 3) {
        return corrupt("a series has more chunks than bytes of them", err);
    }
    struct mrd_tsdb_chunk_meta *chunks =
        mrd_arena_alloc_array(arena, (size_t)count + 1, sizeof(*chunks));
    if (chunks == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        chunk_read(reader, chunks, i);
        if (reader->failed || chunks[i].max_ms < chunks[i].min_ms ||
            (i > 0 && chunks[i].min_ms < chunks[i - 1].max_ms)) {
            return corrupt("the chunks of a series are malformed", err);
        }
    }
    out->chunks = chunks;
    out->chunk_count = (size_t)count;
    return MRD_OK;
}

/* The entry at a place, its checksum checked. */
static enum mrd_status entry_read(const struct mrd_tsdb_index *index, uint64_t at,
                                  struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_reader reader = reader_at(index->bytes, at);
    const struct mrd_bytes entry = mrd_tsdb_read_text(&reader);
    if (at < index->series_at || reader.failed || !mrd_tsdb_crc_fits(&reader, entry)) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "index: there is no series at %" PRIu64 ", or its checksum is wrong", at);
    }
    *out = entry;
    return MRD_OK;
}

enum mrd_status mrd_tsdb_index_series(const struct mrd_tsdb_index *index, size_t at,
                                      struct mrd_arena *arena, struct mrd_tsdb_series *out,
                                      struct mrd_error *err)
{
    struct mrd_bytes entry = MRD_BYTES_NONE;
    mrd_assert(at < index->series_count);
    struct mrd_reader refs = reader_at(index->series_refs, at * sizeof(uint32_t));
    struct mrd_tsdb_series series = {.ref = mrd_tsdb_read_u32(&refs)};
    MRD_TRY(entry_read(index, series.ref * MRD_TSDB_SERIES_ALIGN, &entry, err));
    struct mrd_reader reader = mrd_reader_of(entry);
    MRD_TRY(labels_read(index, &reader, arena, &series.labels, err));
    MRD_TRY(chunks_read(&reader, arena, &series, err));
    *out = series;
    return MRD_OK;
}
