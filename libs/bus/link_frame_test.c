#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/link_internal.h"
#include "bus/rpc.h"

/* Hands `size` bytes to the reader, at most `step` at a time, and counts the frames, each of which must be what was sent. */
static size_t feed(struct mrd_link_reader *reader, const uint8_t *bytes, size_t size, size_t step)
{
    size_t frames = 0;
    size_t taken = 0;
    for (size_t at = 0; at < size;) {
        struct iovec pieces[2];
        (void)mrd_link_reader_room(reader, pieces);
        const size_t wanted = MRD_MIN(step, size - at);
        const size_t part = MRD_MIN(wanted, pieces[0].iov_len);
        memcpy(pieces[0].iov_base, bytes + at, part);
        at += part;
        mrd_link_reader_filled(reader, part);
        uint8_t *frame = NULL;
        size_t frame_size = 0;
        while (mrd_link_reader_next(reader, &frame, &frame_size) == MRD_LINK_FRAME) {
            assert_memory_equal(frame, bytes + taken + MRD_LINK_SIZE_BYTES, frame_size);
            taken += MRD_LINK_SIZE_BYTES + frame_size;
            frames++;
            free(frame);
        }
    }
    return frames;
}

static void frames_come_out_whole_however_they_were_cut(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {8, 9, 4092, 4093, 5000, 8, 100000, 12};
    static uint8_t bytes[200000];
    size_t size = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        memcpy(bytes + size, &sizes[i], 4);
        memset(bytes + size + 4, (int)i + 1, sizes[i]);
        size += 4 + sizes[i];
    }
    static const size_t steps[] = {1, 3, 7, 4096, 65536};
    for (size_t i = 0; i < MRD_ARRAY_LEN(steps); i++) {
        struct mrd_link_reader reader = {.frame_max = 1 << 20};
        assert_int_equal(feed(&reader, bytes, size, steps[i]), MRD_ARRAY_LEN(sizes));
        assert_true(mrd_link_reader_empty(&reader));
        mrd_link_reader_fini(&reader);
    }
}

static void a_size_that_no_frame_has_is_broken(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 7, 1025, UINT32_MAX};
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        struct mrd_link_reader reader = {.frame_max = 1024};
        struct iovec pieces[2];
        (void)mrd_link_reader_room(&reader, pieces);
        memcpy(pieces[0].iov_base, &sizes[i], 4);
        mrd_link_reader_filled(&reader, 4);
        uint8_t *frame;
        size_t size;
        assert_int_equal(mrd_link_reader_next(&reader, &frame, &size), MRD_LINK_BROKEN);
    }
}

static void a_proof_holds_for_its_side_its_nonces_and_its_secret_only(void **state)
{
    (void)state;
    uint8_t secret[MRD_LINK_SECRET_BYTES] = {1, 2, 3};
    struct mrd_link_nonces nonces = {{4}, {5}};
    uint8_t proof[MRD_LINK_PROOF_BYTES];
    mrd_link_proof_make(secret, MRD_LINK_SERVER, &nonces, proof);
    assert_true(mrd_link_proof_check(secret, MRD_LINK_SERVER, &nonces, proof));
    assert_false(mrd_link_proof_check(secret, MRD_LINK_CLIENT, &nonces, proof));
    nonces.client[31] ^= 1;
    assert_false(mrd_link_proof_check(secret, MRD_LINK_SERVER, &nonces, proof));
    nonces.client[31] ^= 1;
    nonces.server[0] ^= 1;
    assert_false(mrd_link_proof_check(secret, MRD_LINK_SERVER, &nonces, proof));
    nonces.server[0] ^= 1;
    secret[31] ^= 1;
    assert_false(mrd_link_proof_check(secret, MRD_LINK_SERVER, &nonces, proof));
}

static const struct {
    const char *text;
    const char *host; /* NULL: not an address */
    const char *port;
} addresses[] = {
    {"10.0.0.1:7302",  "10.0.0.1",     "7302"},
    {"auto:0",         "auto",         "0"   },
    {"[fd00::1]:7302", "fd00::1",      "7302"},
    {"ingester-0.x:1", "ingester-0.x", "1"   },
    {"fd00::1:7302",   NULL,           NULL  },
    {"10.0.0.1",       NULL,           NULL  },
    {":7302",          NULL,           NULL  },
    {"10.0.0.1:",      NULL,           NULL  },
    {"10.0.0.1:65536", NULL,           NULL  },
    {"10.0.0.1:7302x", NULL,           NULL  },
    {"[]:1",           NULL,           NULL  },
    {"",               NULL,           NULL  },
};

static void an_address_is_a_host_and_a_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(addresses); i++) {
        char host[MRD_LINK_HOST_MAX];
        char port[MRD_LINK_PORT_MAX];
        const bool good = mrd_link_address_split(addresses[i].text, host, port);
        if (good != (addresses[i].host != NULL)) {
            fail_msg("\"%s\"", addresses[i].text);
        }
        if (good) {
            assert_string_equal(host, addresses[i].host);
            assert_string_equal(port, addresses[i].port);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_whole_however_they_were_cut),
        cmocka_unit_test(a_size_that_no_frame_has_is_broken),
        cmocka_unit_test(a_proof_holds_for_its_side_its_nonces_and_its_secret_only),
        cmocka_unit_test(an_address_is_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
