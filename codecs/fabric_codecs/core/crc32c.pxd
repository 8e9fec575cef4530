# CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): the checksum of Kafka's record batches. The processor's own instruction
# where it has one (x86-64 with SSE 4.2, asked at run time; ARMv8 with CRC, known at compile time), else eight tables,
# eight bytes a step. `crc32c(0, data, size)` starts a sum, `crc32c(sum, more, size)` goes on with it.
# The instruction takes three cycles, but one can begin in each: of three stretches behind each other the sums are made
# side by side, then each is moved over the stretches behind it (M. Adler, crc32c.c).

from libc.stdint cimport uint32_t


cdef extern from *:
    """
    #ifndef FABRIC_CRC32C
    #define FABRIC_CRC32C
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    static uint32_t fabric_crc32c_table[8][256];
    static int fabric_crc32c_ready = 0;

    static void fabric_crc32c_fill(void) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0);
            fabric_crc32c_table[0][byte] = crc;
        }
        for (uint32_t byte = 0; byte < 256; byte++)
            for (int row = 1; row < 8; row++) {
                uint32_t before = fabric_crc32c_table[row - 1][byte];
                fabric_crc32c_table[row][byte] = fabric_crc32c_table[0][before & 0xFF] ^ (before >> 8);
            }
        fabric_crc32c_ready = 1;
    }

    /* Sums are kept inverted inside, as the definition has it; both ways below take and give the inner form. Their tables are
       filled on first use, by whoever holds the GIL. */
    static uint32_t fabric_crc32c_tables(uint32_t crc, const unsigned char* p, size_t n) {
        if (!fabric_crc32c_ready) fabric_crc32c_fill();
        #define FABRIC_T fabric_crc32c_table
        for (; n >= 8; n -= 8, p += 8) {
            crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
            crc = FABRIC_T[7][crc & 0xFF] ^ FABRIC_T[6][crc >> 8 & 0xFF] ^ FABRIC_T[5][crc >> 16 & 0xFF] ^
                  FABRIC_T[4][crc >> 24] ^ FABRIC_T[3][p[4]] ^ FABRIC_T[2][p[5]] ^ FABRIC_T[1][p[6]] ^ FABRIC_T[0][p[7]];
        }
        for (; n > 0; n--, p++) crc = FABRIC_T[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
        #undef FABRIC_T
        return crc;
    }

    #if defined(__x86_64__) && defined(__GNUC__)
    #define FABRIC_CRC32C_INSTRUCTION __builtin_cpu_supports("sse4.2")
    #define FABRIC_CRC32C_TARGET __attribute__((target("sse4.2")))
    #define FABRIC_CRC32C_WORD __builtin_ia32_crc32di
    #define FABRIC_CRC32C_BYTE __builtin_ia32_crc32qi
    #elif defined(__ARM_FEATURE_CRC32) && defined(__AARCH64EL__)
    #include <arm_acle.h>
    #define FABRIC_CRC32C_INSTRUCTION 1
    #define FABRIC_CRC32C_TARGET
    #define FABRIC_CRC32C_WORD __crc32cd
    #define FABRIC_CRC32C_BYTE __crc32cb
    #else
    #define FABRIC_CRC32C_INSTRUCTION 0
    #define fabric_crc32c_instruction fabric_crc32c_tables
    #endif

    #ifdef FABRIC_CRC32C_WORD
    typedef struct {
        size_t stretch; /* bytes, a multiple of eight */
        int ready;
        uint32_t moved[4][256]; /* the sum that each byte of a sum becomes behind a stretch of zeros */
    } fabric_crc32c_mover;
    static fabric_crc32c_mover fabric_crc32c_long = {4096}, fabric_crc32c_short = {128};

    static inline uint64_t fabric_crc32c_load(const unsigned char* p) {
        uint64_t word;
        memcpy(&word, p, 8);
        return word;
    }

    FABRIC_CRC32C_TARGET
    static void fabric_crc32c_prepare(fabric_crc32c_mover* by) {
        for (int bit = 0; bit < 32; bit++) {
            uint64_t sum = (uint32_t)1 << bit;
            for (size_t at = 0; at < by->stretch; at += 8) sum = FABRIC_CRC32C_WORD(sum, 0);
            uint32_t* row = by->moved[bit / 8];
            for (int byte = 0; byte < 256; byte++)
                if (byte >> bit % 8 & 1) row[byte] ^= (uint32_t)sum;
        }
        by->ready = 1;
    }

    static inline uint32_t fabric_crc32c_moved(const fabric_crc32c_mover* by, uint32_t crc) {
        return by->moved[0][crc & 0xFF] ^ by->moved[1][crc >> 8 & 0xFF] ^ by->moved[2][crc >> 16 & 0xFF] ^ by->moved[3][crc >> 24];
    }

    FABRIC_CRC32C_TARGET
    static inline uint32_t fabric_crc32c_three(uint32_t crc, const unsigned char* p, fabric_crc32c_mover* by) {
        uint64_t first = crc, second = 0, third = 0;
        if (!by->ready) fabric_crc32c_prepare(by);
        for (const unsigned char* end = p + by->stretch; p < end; p += 8) {
            first = FABRIC_CRC32C_WORD(first, fabric_crc32c_load(p));
            second = FABRIC_CRC32C_WORD(second, fabric_crc32c_load(p + by->stretch));
            third = FABRIC_CRC32C_WORD(third, fabric_crc32c_load(p + 2 * by->stretch));
        }
        crc = fabric_crc32c_moved(by, (uint32_t)first) ^ (uint32_t)second;
        return fabric_crc32c_moved(by, crc) ^ (uint32_t)third;
    }

    FABRIC_CRC32C_TARGET
    static uint32_t fabric_crc32c_instruction(uint32_t crc, const unsigned char* p, size_t n) {
        fabric_crc32c_mover* const by[2] = {&fabric_crc32c_long, &fabric_crc32c_short};
        for (int at = 0; at < 2; at++)
            for (size_t all = 3 * by[at]->stretch; n >= all; n -= all, p += all) crc = fabric_crc32c_three(crc, p, by[at]);
        for (; n >= 8; n -= 8, p += 8) crc = (uint32_t)FABRIC_CRC32C_WORD(crc, fabric_crc32c_load(p));
        for (; n > 0; n--, p++) crc = FABRIC_CRC32C_BYTE(crc, *p);
        return crc;
    }
    #endif

    static uint32_t fabric_crc32c(uint32_t crc, const void* data, size_t size) {
        const unsigned char* p = (const unsigned char*)data;
        return ~(FABRIC_CRC32C_INSTRUCTION ? fabric_crc32c_instruction(~crc, p, size) : fabric_crc32c_tables(~crc, p, size));
    }

    /* For tests: the way that a machine without the instruction takes. */
    static uint32_t fabric_crc32c_portable(uint32_t crc, const void* data, size_t size) {
        return ~fabric_crc32c_tables(~crc, (const unsigned char*)data, size);
    }
    #endif
    """
    uint32_t crc32c "fabric_crc32c"(uint32_t crc, const void* data, size_t size) noexcept nogil
    uint32_t crc32c_portable "fabric_crc32c_portable"(uint32_t crc, const void* data, size_t size) noexcept nogil
