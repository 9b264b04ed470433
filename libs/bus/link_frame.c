#include "bus/link_frame.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <sys/random.h>

#include "bus/rpc.h"

static const uint8_t magic[8] = {'M', 'R', 'D', 'L', MRD_LINK_VERSION};

/* ---- handshake ---- */

void mrd_link_nonce_make(uint8_t out[MRD_LINK_NONCE_BYTES])
{
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(out, MRD_LINK_NONCE_BYTES, 0) == MRD_LINK_NONCE_BYTES);
}

void mrd_link_hello_put(uint8_t out[MRD_LINK_HELLO_BYTES],
                        const uint8_t nonce[MRD_LINK_NONCE_BYTES])
{
    memcpy(out, magic, sizeof(magic));
    memcpy(out + sizeof(magic), nonce, MRD_LINK_NONCE_BYTES);
}

bool mrd_link_hello_get(const uint8_t hello[MRD_LINK_HELLO_BYTES],
                        uint8_t out_nonce[MRD_LINK_NONCE_BYTES])
{
    if (memcmp(hello, magic, sizeof(magic)) != 0) {
        return false;
    }
    memcpy(out_nonce, hello + sizeof(magic), MRD_LINK_NONCE_BYTES);
    return true;
}

void mrd_link_proof_make(const uint8_t secret[MRD_LINK_SECRET_BYTES], enum mrd_link_side side,
                         const struct mrd_link_nonces *nonces, uint8_t out[MRD_LINK_PROOF_BYTES])
{
    static const char names[2][16] = {"mrd link client", "mrd link server"};
    uint8_t text[sizeof(names[0]) + sizeof(*nonces)];
    memcpy(text, names[side], sizeof(names[0]));
    memcpy(text + sizeof(names[0]), nonces, sizeof(*nonces));
    unsigned size = 0;
    mrd_assert(HMAC(EVP_sha256(), secret, MRD_LINK_SECRET_BYTES, text, sizeof(text), out, &size) !=
               NULL);
    mrd_assert(size == MRD_LINK_PROOF_BYTES);
}

bool mrd_link_proof_check(const uint8_t secret[MRD_LINK_SECRET_BYTES], enum mrd_link_side side,
                          const struct mrd_link_nonces *nonces,
                          const uint8_t proof[MRD_LINK_PROOF_BYTES])
{
    uint8_t want[MRD_LINK_PROOF_BYTES];
    mrd_link_proof_make(secret, side, nonces, want);
    return CRYPTO_memcmp(want, proof, sizeof(want)) == 0;
}

/* ---- frames ---- */

int mrd_link_reader_room(struct mrd_link_reader *reader, struct iovec out[2])
{
    if (reader->frame != NULL) { /* the buffer is empty then */
        out[0] = (struct iovec){reader->frame + reader->frame_have,
                                reader->frame_size - reader->frame_have};
        out[1] = (struct iovec){reader->buffer, sizeof(reader->buffer)};
        return 2;
    }
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
    out[0] = (struct iovec){reader->buffer + reader->end, sizeof(reader->buffer) - reader->end};
    return 1;
}

void mrd_link_reader_filled(struct mrd_link_reader *reader, size_t size)
{
    if (reader->frame != NULL) {
        const size_t taken = MRD_MIN(size, reader->frame_size - reader->frame_have);
        reader->frame_have += taken;
        size -= taken;
    }
    reader->end += size;
    mrd_assert(reader->end <= sizeof(reader->buffer));
}

static size_t buffered(const struct mrd_link_reader *reader) { return reader->end - reader->start; }

static uint8_t *take(struct mrd_link_reader *reader, size_t size, size_t copy)
{
    uint8_t *bytes = malloc(size);
    mrd_assert(bytes != NULL);
    memcpy(bytes, reader->buffer + reader->start + MRD_LINK_SIZE_BYTES, copy);
    reader->start += MRD_LINK_SIZE_BYTES + copy;
    return bytes;
}

enum mrd_link_read mrd_link_reader_next(struct mrd_link_reader *reader, uint8_t **out_frame,
                                        size_t *out_size)
{
    if (reader->frame != NULL) {
        if (reader->frame_have < reader->frame_size) {
            return MRD_LINK_MORE;
        }
        *out_size = reader->frame_size;
        *out_frame = MRD_MOVE(reader->frame);
        return MRD_LINK_FRAME;
    }
    if (buffered(reader) < MRD_LINK_SIZE_BYTES) {
        return MRD_LINK_MORE;
    }
    uint32_t size;
    memcpy(&size, reader->buffer + reader->start, sizeof(size));
    if (size < MRD_RPC_FRAME_BYTES || size > reader->frame_max) {
        return MRD_LINK_BROKEN;
    }
    if (buffered(reader) >= MRD_LINK_SIZE_BYTES + (size_t)size) {
        *out_size = size;
        *out_frame = take(reader, size, size);
        return MRD_LINK_FRAME;
    }
    if (MRD_LINK_SIZE_BYTES + (size_t)size > sizeof(reader->buffer)) {
        reader->frame_size = size;
        reader->frame_have = buffered(reader) - MRD_LINK_SIZE_BYTES;
        reader->frame = take(reader, size, reader->frame_have);
        reader->start = 0;
        reader->end = 0;
    }
    return MRD_LINK_MORE;
}

int mrd_link_reader_peek(const struct mrd_link_reader *reader)
{
    if (reader->frame != NULL) {
        return reader->frame_have > 1 ? reader->frame[1] : -1;
    }
    return buffered(reader) > MRD_LINK_SIZE_BYTES + 1
               ? reader->buffer[reader->start + MRD_LINK_SIZE_BYTES + 1]
               : -1;
}

bool mrd_link_reader_empty(const struct mrd_link_reader *reader)
{
    return reader->frame == NULL && buffered(reader) == 0;
}

void mrd_link_reader_fini(struct mrd_link_reader *reader)
{
    free(reader->frame);
    reader->frame = NULL;
}
