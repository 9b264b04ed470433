#include "wire/batch.h"

#include "model/sample.h"
#include "wire/batch.pb-c.h"
#include "wire/batch_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct mrd_batch_header some_header = {
    .region = {(const uint8_t *)"eu-1",   4},
    .residency_class = {(const uint8_t *)"eu",     2},
    .instance = {(const uint8_t *)"d0f3-0", 6},
    .partition = 3,
    .epoch = 2000000,
    .number = 77,
    .hlc = 0x123456789abcdef0,
};

static const enum mrd_batch_codec codecs[] = {MRD_BATCH_NONE, MRD_BATCH_SNAPPY, MRD_BATCH_ZSTD};

static void announce(struct mrd_batch_builder *builder, uint32_t tenant, const char *tenant_name,
                     uint32_t reference, const char *labels)
{
    const struct mrd_batch_announcement announcement = {
        .reference = reference,
        .tenant = tenant,
        .id = mrd_series_id_of(mrd_tenant_seed(mrd_bytes_of(tenant_name)), mrd_bytes_of(labels)),
        .labels = mrd_bytes_of(labels),
    };
    mrd_batch_builder_announce(builder, &announcement);
}

/* Two tenants, announced and not, rows of one and of several samples: all that a batch can hold. */
static void fill_small(struct mrd_batch_builder *builder)
{
    const uint32_t first = mrd_batch_builder_tenant(builder, MRD_BYTES("farm"));
    announce(builder, first, "farm", 0, "\x08__name__\x02up");
    announce(builder, first, "farm", 1, "\x08__name__\x04temp\x06sensor\x01s");
    mrd_batch_builder_row(builder, first, 0, 1700000000000, 1);
    mrd_batch_builder_row(builder, first, 1, 1700000000000, 21.5);
    mrd_batch_builder_sample(builder, 1700000015000, 21.25);
    const uint32_t second = mrd_batch_builder_tenant(builder, MRD_BYTES("mill"));
    announce(builder, second, "mill", 900, "\x08__name__\x01x");
    mrd_batch_builder_row(builder, second, 900, -1, mrd_stale_nan());
    mrd_batch_builder_row(builder, second, 7, INT64_MAX, -0.0);
    mrd_batch_builder_row(builder, second, 8, INT64_MIN, 3);
}

static void assert_small(const struct mrd_batch *batch)
{
    assert_int_equal(batch->tenant_count, 2);
    assert_true(mrd_bytes_equal(batch->tenants[0], MRD_BYTES("farm")));
    assert_true(mrd_bytes_equal(batch->tenants[1], MRD_BYTES("mill")));
    assert_int_equal(batch->announcement_count, 3);
    assert_int_equal(batch->announcements[2].reference, 900);
    assert_int_equal(batch->announcements[2].tenant, 1);
    assert_true(mrd_bytes_equal(batch->announcements[1].labels,
                                MRD_BYTES("\x08__name__\x04temp\x06sensor\x01s")));
    assert_int_equal(batch->tenant_run_count, 2);
    assert_int_equal(batch->tenant_runs[0].row_count, 2);
    assert_int_equal(batch->tenant_runs[1].row_count, 3);
    assert_int_equal(batch->row_count, 5);
    static const uint32_t references[] = {0, 1, 900, 7, 8};
    static const uint32_t counts[] = {1, 2, 1, 1, 1};
    assert_memory_equal(batch->references, references, sizeof(references));
    assert_memory_equal(batch->sample_counts, counts, sizeof(counts));
    assert_int_equal(batch->sample_count, 6);
    static const mrd_time_ms times[] = {1700000000000, 1700000000000, 1700000015000, -1,
                                        INT64_MAX,     INT64_MIN};
    assert_memory_equal(batch->times_ms, times, sizeof(times));
    const double values[] = {1, 21.5, 21.25, mrd_stale_nan(), -0.0, 3};
    assert_memory_equal(batch->values, values, sizeof(values));
}

static void assert_header(const struct mrd_batch_header *got, const struct mrd_batch_header *want)
{
    assert_true(mrd_bytes_equal(got->region, want->region));
    assert_true(mrd_bytes_equal(got->residency_class, want->residency_class));
    assert_true(mrd_bytes_equal(got->instance, want->instance));
    assert_int_equal(got->partition, want->partition);
    assert_int_equal(got->epoch, want->epoch);
    assert_int_equal(got->number, want->number);
    assert_int_equal(got->hlc, want->hlc);
}

struct fixture {
    struct mrd_batch_builder *builder;
    struct mrd_batch_reader *reader;
    struct mrd_buf message;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->builder = mrd_batch_builder_create();
    fixture->reader = mrd_batch_reader_create();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_batch_builder_destroy(&fixture->builder);
    mrd_batch_reader_destroy(&fixture->reader);
    mrd_buf_fini(&fixture->message);
    free(fixture);
    return 0;
}

static void what_is_built_reads_back_with_every_codec(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(codecs); i++) {
        mrd_batch_builder_reset(fixture->builder);
        fill_small(fixture->builder);
        mrd_batch_builder_finish(fixture->builder, &some_header, codecs[i], &fixture->message);
        assert_true(fixture->message.size <= mrd_batch_builder_size_max(fixture->builder));
        struct mrd_batch batch;
        struct mrd_error err;
        assert_int_equal(
            mrd_batch_read(fixture->reader, mrd_buf_view(&fixture->message), &batch, &err), MRD_OK);
        assert_header(&batch.header, &some_header);
        assert_small(&batch);
        struct mrd_batch_header header;
        assert_int_equal(mrd_batch_header_read(mrd_buf_view(&fixture->message), &header, NULL),
                         MRD_OK);
        assert_header(&header, &some_header);
    }
}

static void an_id_names_instance_epoch_and_number(void **state)
{
    (void)state;
    char id[MRD_BATCH_ID_MAX];
    assert_string_equal(mrd_batch_id(&some_header, id), "d0f3-0-2000000-77");
    struct mrd_batch_header other = some_header;
    other.instance = MRD_BYTES("d0f3-1");
    assert_int_not_equal(mrd_batch_origin(&some_header), mrd_batch_origin(&other));
}

static void the_envelope_is_the_protobuf_message(void **state)
{
    struct fixture *fixture = *state;
    fill_small(fixture->builder);
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_SNAPPY, &fixture->message);
    Mrd__Wire__BatchEnvelope *envelope =
        mrd__wire__batch_envelope__unpack(NULL, fixture->message.size, fixture->message.data);
    assert_non_null(envelope);
    assert_int_equal(envelope->version, MRD_BATCH_VERSION);
    assert_int_equal(envelope->number, 77);
    assert_int_equal(envelope->hlc, some_header.hlc);
    assert_int_equal(envelope->region.len, 4);
    assert_int_equal(envelope->base.n_unknown_fields, 0);
    const struct mrd_bytes covered = {fixture->message.data,
                                      fixture->message.size - BATCH_CRC_FIELD_SIZE};
    assert_int_equal(envelope->crc32c, mrd_crc32c(0, covered));
    mrd__wire__batch_envelope__free_unpacked(envelope, NULL);
}

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

/* Rows as they come and rows that no column likes; the size stays under the promised bound. */
static void random_rows_read_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = 11;
    for (int round = 0; round < 200; round++) {
        struct mrd_batch_builder *builder = fixture->builder;
        mrd_batch_builder_reset(builder);
        const bool wild = round % 2 == 0;
        const uint64_t row_count = 1 + random_next(&seed) % 500;
        uint32_t tenant = 0;
        for (uint64_t i = 0; i < row_count; i++) {
            if (i == 0 || random_next(&seed) % 50 == 0) {
                char name[8];
                (void)snprintf(name, sizeof(name), "t%d", (int)(random_next(&seed) % 3));
                tenant = mrd_batch_builder_tenant(builder, mrd_bytes_of(name));
            }
            const uint32_t reference =
                (uint32_t)(wild ? random_next(&seed) % MRD_BATCH_REFERENCE_COUNT_MAX : i);
            const mrd_time_ms time = wild ? (mrd_time_ms)(random_next(&seed) << 31) : 1000;
            mrd_batch_builder_row(builder, tenant, reference, time, (double)i);
            for (uint64_t j = wild ? random_next(&seed) % 3 : 0; j > 0; j--) {
                mrd_batch_builder_sample(builder, (mrd_time_ms)random_next(&seed), 1e300);
            }
        }
        mrd_batch_builder_finish(builder, &some_header, codecs[round % 3], &fixture->message);
        assert_true(fixture->message.size <= mrd_batch_builder_size_max(builder));
        struct mrd_batch batch;
        assert_int_equal(
            mrd_batch_read(fixture->reader, mrd_buf_view(&fixture->message), &batch, NULL), MRD_OK);
        const struct mrd_batch_columns *want = &builder->columns;
        assert_int_equal(batch.row_count, want->row_count);
        assert_int_equal(batch.sample_count, want->sample_count);
        assert_memory_equal(batch.references, want->references, want->row_count * 4);
        assert_memory_equal(batch.times_ms, want->times_ms, want->sample_count * 8);
        assert_memory_equal(batch.values, want->values, want->sample_count * 8);
        if (batch.sample_counts == NULL) {
            assert_int_equal(batch.row_count, batch.sample_count);
        } else {
            assert_memory_equal(batch.sample_counts, want->sample_counts, want->row_count * 4);
        }
        assert_int_equal(batch.tenant_run_count, want->run_count);
    }
}

/* Steady traffic: one reference after the other at one time costs the values' bytes and no more. */
static void regular_rows_cost_their_values_only(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t tenant = mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    for (uint32_t i = 0; i < 10000; i++) {
        mrd_batch_builder_row(fixture->builder, tenant, i, 1700000000000, i);
    }
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_NONE, &fixture->message);
    assert_true(fixture->message.size < 10000 * 5 / 2 + 5000 + 150);
}

/* ---- bytes that are not a batch ---- */

static void seal(struct mrd_buf *message)
{
    const struct mrd_bytes covered = {message->data, message->size - BATCH_CRC_FIELD_SIZE};
    const uint32_t crc = mrd_crc32c(0, covered);
    memcpy(message->data + covered.size + 1, &crc, sizeof(crc));
}

static void every_flipped_bit_is_found(void **state)
{
    struct fixture *fixture = *state;
    fill_small(fixture->builder);
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_NONE, &fixture->message);
    for (size_t bit = 0; bit < fixture->message.size * 8; bit++) {
        fixture->message.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct mrd_batch batch;
        assert_int_equal(
            mrd_batch_read(fixture->reader, mrd_buf_view(&fixture->message), &batch, NULL),
            MRD_E_CORRUPT);
        fixture->message.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

/* With a checksum that is right every other check has to do its work: whatever a byte becomes, what is
 * accepted is consistent. */
static void wrong_bytes_under_a_right_checksum_are_survived(void **state)
{
    struct fixture *fixture = *state;
    size_t refused = 0;
    fill_small(fixture->builder);
    for (size_t c = 0; c < MRD_ARRAY_LEN(codecs); c++) {
        mrd_batch_builder_finish(fixture->builder, &some_header, codecs[c], &fixture->message);
        struct mrd_buf *message = &fixture->message;
        for (size_t i = 0; i + BATCH_CRC_FIELD_SIZE < message->size; i++) {
            static const uint8_t replacements[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
            const uint8_t kept = message->data[i];
            for (size_t r = 0; r < sizeof(replacements); r++) {
                message->data[i] = replacements[r];
                seal(message);
                struct mrd_batch batch;
                if (mrd_batch_read(fixture->reader, mrd_buf_view(message), &batch, NULL) !=
                    MRD_OK) {
                    refused++;
                    continue;
                }
                size_t samples = 0;
                for (size_t row = 0; row < batch.row_count; row++) {
                    assert_true(batch.references[row] < MRD_BATCH_REFERENCE_COUNT_MAX);
                    samples += batch.sample_counts == NULL ? 1 : batch.sample_counts[row];
                }
                assert_int_equal(samples, batch.sample_count);
            }
            message->data[i] = kept;
        }
    }
    assert_true(refused > 100);
}

static void put_varint_field(struct mrd_buf *out, uint8_t tag, uint64_t value)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, value);
}

static void put_name(struct mrd_buf *out, uint8_t tag, const char *name)
{
    put_varint_field(out, tag, strlen(name));
    mrd_buf_append_text(out, name);
}

/* An envelope by hand around a body by hand. */
struct forged {
    uint64_t version;
    uint64_t codec;
    uint64_t body_size;
    const char *instance;
    struct mrd_bytes body;
};

static void forge(const struct forged *forged, struct mrd_buf *out)
{
    mrd_buf_clear(out);
    put_varint_field(out, BATCH_VERSION, forged->version);
    put_name(out, BATCH_REGION, "r");
    put_name(out, BATCH_CLASS, "c");
    put_name(out, BATCH_INSTANCE, forged->instance);
    put_varint_field(out, BATCH_NUMBER, 1);
    put_varint_field(out, BATCH_CODEC, forged->codec);
    put_varint_field(out, BATCH_BODY_SIZE, forged->body_size);
    put_varint_field(out, BATCH_BODY, forged->body.size);
    mrd_buf_append_bytes(out, forged->body);
    mrd_buf_append_u8(out, BATCH_CRC32C);
    mrd_buf_append_u32(out, 0);
    seal(out);
}

#define BODY(literal) sizeof(literal) - 1, "i", MRD_BYTES(literal)
#define GOOD_TENANTS "\x01\x03\x01\x01t"
#define GOOD_ROWS "\x03\x09\x01\x01\x01\x00\x01\x02\x00\x02\x00"
#define GOOD_TAIL "\x04\x02\x02\x00\x05\x02\x01\x02"

static const struct {
    struct forged forged;
    enum mrd_status want;
} forged_cases[] = {
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                                          MRD_OK           },
    {{2, 0, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                                          MRD_E_UNSUPPORTED},
    {{1, 3, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                                          MRD_E_UNSUPPORTED},
    {{1, 1, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                                          MRD_E_CORRUPT    }, /* not snappy */
    {{1, 2, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                                          MRD_E_CORRUPT    }, /* not zstd */
    {{1, 0, 5, "i", MRD_BYTES(GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                             MRD_E_CORRUPT    },
    {{1, 2, (uint64_t)1 << 40, "i", MRD_BYTES("x")},                                          MRD_E_CORRUPT    }, /* a bomb's promise */
    {{1, 0, 0, "i", MRD_BYTES("")},                                                           MRD_E_CORRUPT    },
    {{1, 0, sizeof(GOOD_TENANTS) - 1, "a.b", MRD_BYTES(GOOD_TENANTS)},                        MRD_E_CORRUPT    },
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS GOOD_TAIL "\x0b\x00")},
     MRD_E_UNSUPPORTED                                                                                         }, /* a later section */
    {{1, 0, BODY(GOOD_TENANTS)},                                                              MRD_E_CORRUPT    }, /* nothing in it */
    {{1, 0, BODY(GOOD_ROWS GOOD_TAIL)},                                                       MRD_E_CORRUPT    }, /* no tenants */
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS)},                                                    MRD_E_CORRUPT    }, /* no values */
    {{1, 0, BODY(GOOD_TENANTS GOOD_TENANTS GOOD_ROWS GOOD_TAIL)},                             MRD_E_CORRUPT    },
    {{1, 0, BODY(GOOD_ROWS GOOD_TENANTS GOOD_TAIL)},                                          MRD_E_CORRUPT    }, /* out of order */
    {{1, 0, BODY("\x01\x02\x01\x00" GOOD_ROWS GOOD_TAIL)},                                    MRD_E_CORRUPT    }, /* tenant "" */
    {{1, 0, BODY("\x01\x01\x00" GOOD_ROWS GOOD_TAIL)},                                        MRD_E_CORRUPT    }, /* no tenant */
  /* Rows: sample count, run count, tenant index, reference, sizes that do not fit. */
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x02\x01\x00\x01\x02\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x02\x01\x01\x00\x02\x02\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x00\x00\x01\x02\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x01\x01\x01\x02\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x01\x00\x02\x02\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x01\x00\x01\x02\x01\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x01\x00\x01\x02\x00\x02\x01" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x09\x01\x01\x01\x00\x01\x04\x00\x02\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS "\x03\x0a\x01\x01\x01\x00\x01\x02\x00\x02\x00\x00" GOOD_TAIL)},
     MRD_E_CORRUPT                                                                                             },
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS "\x04\x01\x02\x05\x02\x01\x02")},                     MRD_E_CORRUPT    },
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS "\x04\x02\x00\x00\x05\x02\x01\x02")},                 MRD_E_CORRUPT    },
    {{1, 0, BODY(GOOD_TENANTS GOOD_ROWS "\x04\x02\x02\x00\x05\x01\x01")},                     MRD_E_CORRUPT    },
 /* An announcement whose id is not that of its labels. */
    {{1, 0,
      BODY(GOOD_TENANTS "\x02\x18\x01\x02\x00\x02\x00\x02\x01"
                        "0123456789abcdef"
                        "x")},
     MRD_E_CORRUPT                                                                                             },
};

static void what_cannot_be_a_batch_is_refused(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(forged_cases); i++) {
        forge(&forged_cases[i].forged, &fixture->message);
        struct mrd_batch batch;
        struct mrd_error err = {0};
        const enum mrd_status got =
            mrd_batch_read(fixture->reader, mrd_buf_view(&fixture->message), &batch, &err);
        if (got != forged_cases[i].want) {
            fail_msg("case %zu: status %d (%s)", i, got, err.text);
        }
    }
}

static void no_message_at_all_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_batch batch;
    static const uint8_t bytes[16] = {0};
    for (size_t size = 0; size < sizeof(bytes); size++) {
        assert_int_equal(
            mrd_batch_read(fixture->reader, (struct mrd_bytes){bytes, size}, &batch, NULL),
            MRD_E_CORRUPT);
    }
}

/* ---- the golden files hold docs/formats/batch.md to the code ---- */

static struct mrd_buf file_read(const char *path)
{
    struct mrd_buf out = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *place = mrd_buf_reserve(&out, 4096);
    out.size = fread(place, 1, 4096, file);
    (void)fclose(file);
    return out;
}

static const char *const golden_paths[] = {
    "tests/golden/batch_v1_none.bin",
    "tests/golden/batch_v1_snappy.bin",
    "tests/golden/batch_v1_zstd.bin",
};

/* MRD_GOLDEN_WRITE=1 makes them anew, which is for a new version of the format only. */
static void golden_files_read_and_write(void **state)
{
    struct fixture *fixture = *state;
    fill_small(fixture->builder);
    for (size_t i = 0; i < MRD_ARRAY_LEN(golden_paths); i++) {
        mrd_batch_builder_finish(fixture->builder, &some_header, codecs[i], &fixture->message);
        if (getenv("MRD_GOLDEN_WRITE") != NULL) {
            FILE *file = fopen(golden_paths[i], "wb");
            assert_non_null(file);
            assert_int_equal(fwrite(fixture->message.data, 1, fixture->message.size, file),
                             fixture->message.size);
            assert_int_equal(fclose(file), 0);
        }
        struct mrd_buf golden = file_read(golden_paths[i]);
        if (codecs[i] == MRD_BATCH_NONE) { /* compressors may change their minds, we may not */
            assert_true(mrd_bytes_equal(mrd_buf_view(&golden), mrd_buf_view(&fixture->message)));
        }
        struct mrd_batch batch;
        assert_int_equal(mrd_batch_read(fixture->reader, mrd_buf_view(&golden), &batch, NULL),
                         MRD_OK);
        assert_header(&batch.header, &some_header);
        assert_small(&batch);
        mrd_buf_fini(&golden);
    }
}

#define BATCH_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCH_TEST(what_is_built_reads_back_with_every_codec),
        BATCH_TEST(an_id_names_instance_epoch_and_number),
        BATCH_TEST(the_envelope_is_the_protobuf_message),
        BATCH_TEST(random_rows_read_back),
        BATCH_TEST(regular_rows_cost_their_values_only),
        BATCH_TEST(every_flipped_bit_is_found),
        BATCH_TEST(wrong_bytes_under_a_right_checksum_are_survived),
        BATCH_TEST(what_cannot_be_a_batch_is_refused),
        BATCH_TEST(no_message_at_all_is_refused),
        BATCH_TEST(golden_files_read_and_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
