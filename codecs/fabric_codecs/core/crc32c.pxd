# CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): the checksum of Kafka's record batches. The processor's own instruction
# where it has one (x86-64 with SSE 4.2, asked at run time; ARMv8 with CRC, known at compile time), else eight tables,
# eight bytes a step. `crc32c(0, data, size)` starts a sum, `crc32c(sum, more, size)` goes on with it.

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

    /* Sums are kept inverted inside, as the definition has it; both ways below take and give the inner form. */
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
    __attribute__((target("sse4.2")))
    static uint32_t fabric_crc32c_instruction(uint32_t crc, const unsigned char* p, size_t n) {
        uint64_t wide = crc, word;
        for (; n >= 8; n -= 8, p += 8) {
            memcpy(&word, p, 8);
            wide = __builtin_ia32_crc32di(wide, word);
        }
        crc = (uint32_t)wide;
        for (; n > 0; n--, p++) crc = __builtin_ia32_crc32qi(crc, *p);
        return crc;
    }
    #elif defined(__ARM_FEATURE_CRC32) && defined(__AARCH64EL__)
    #include <arm_acle.h>
    #define FABRIC_CRC32C_INSTRUCTION 1
    static uint32_t fabric_crc32c_instruction(uint32_t crc, const unsigned char* p, size_t n) {
        uint64_t word;
        for (; n >= 8; n -= 8, p += 8) {
            memcpy(&word, p, 8);
            crc = __crc32cd(crc, word);
        }
        for (; n > 0; n--, p++) crc = __crc32cb(crc, *p);
        return crc;
    }
    #else
    #define FABRIC_CRC32C_INSTRUCTION 0
    #define fabric_crc32c_instruction fabric_crc32c_tables
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
