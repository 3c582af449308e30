"""The portability file read by its description alone (docs/npdb-format.md, "The layout"): a lookup, and a check of
all that the page says of a file, its one right form included."""

import struct
from collections import Counter, defaultdict

SECTIONS = "blocks", "index", "npas", "palettes", "prefixes", "owners"
UNKNOWN, NOBODY = 0, 1
BLOCK = 1 << 31
NO_OWN = 1023
NUMBERS = 1000


def crc32c_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


CRC_TABLE = tuple(crc32c_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def up8(value):
    return value + 7 & ~7


def is_plan(digits):
    """Is it a whole number of the North American Numbering Plan?"""
    return len(digits) == 11 and digits[0] == "1" and digits[1] >= "2" and digits[4] >= "2"


def key_of(digits, ported):
    return int(digits.ljust(15, "0")) * 32 + len(digits) * 2 + ported


def digits_of(key):
    """→ digits, ported"""
    count = key >> 1 & 15
    padded = f"{key >> 5:015d}"
    assert 1 <= count <= 15 and len(padded) == 15 and padded[count:].strip("0") == "", f"{key:#x} is no key"
    return padded[:count], key & 1


def width_for(values):
    return (values - 1).bit_length()


class Block:
    """One block, at `offset` of the file."""

    def __init__(self, data, offset):
        head, self.offset = struct.unpack_from("<I", data, offset)[0], offset
        self.count, self.levels = (head & 1023) + 1, head >> 10 & 15
        self.wide, self.decades, self.own = head >> 14 & 1, head >> 15 & 1, head >> 16 & 1023
        assert head >> 26 == 0 and self.count <= NUMBERS and self.levels < self.count
        assert self.own < self.count or self.own == NO_OWN
        size = 2 if self.wide else 1
        self.symbols = struct.unpack_from(f"<{self.count}{'H' if self.wide else 'B'}", data, offset + 4)
        self.start = offset + 4 + self.count * size
        # no block needs more: ten bits for each number, and the tens
        self.bits = int.from_bytes(data[self.start:self.start + 1300], "little")

    def ones(self, at, count):
        return (self.bits >> at & (1 << count) - 1).bit_count()

    def symbol(self, member, members):
        """→ the symbol of a member of the sequence, by the page's recipe."""
        at, left = 100 if self.decades else 0, members
        for level in range(self.levels):
            if not self.bits >> at + member & 1:
                return level
            member = self.ones(at, member)
            at, left = at + left, self.ones(at, left)
        width = width_for(self.count - self.levels)
        return self.levels + (self.bits >> at + member * width & (1 << width) - 1)

    def find(self, number):
        """→ palette entry, ported"""
        member, members = number, NUMBERS
        if self.decades:
            ten = number // 10
            member = 10 * ten - 9 * self.ones(0, ten) + (0 if self.bits >> ten & 1 else number % 10)
            members -= 9 * self.ones(0, 100)
        symbol = self.symbol(member, members)
        return self.symbols[symbol], symbol != self.own

    def all(self):
        """→ (palette entry, ported) of the 1,000 numbers, and where in the file the block's bits end."""
        at, first = 0, list(range(NUMBERS))
        if self.decades:
            at, first = 100, [x for x in range(NUMBERS) if x % 10 == 0 or not self.bits >> x // 10 & 1]
        found = {}
        for level in range(self.levels):
            found |= {x: level for i, x in enumerate(first) if not self.bits >> at + i & 1}
            first, at = [x for i, x in enumerate(first) if self.bits >> at + i & 1], at + len(first)
        width = width_for(self.count - self.levels)
        for i, x in enumerate(first):
            found[x] = self.levels + (self.bits >> at + i * width & (1 << width) - 1)
        at += len(first) * width
        symbols = [found[x] if x in found else found[x // 10 * 10] for x in range(NUMBERS)]
        return [(self.symbols[symbol], symbol != self.own) for symbol in symbols], self.start + (at + 7) // 8


def encode(numbers):
    """The bytes of the block for 1,000 times (palette entry, ported), without those that fill it up."""
    uniform = [len(set(numbers[x:x + 10])) == 1 for x in range(0, NUMBERS, 10)]
    best = None
    for decades in (False, True):
        members = [n for x, n in enumerate(numbers) if not decades or x % 10 == 0 or not uniform[x // 10]]
        counts = Counter(members)
        symbols = sorted(counts, key=lambda s: (-counts[s], s[0], not s[1]))
        sizes, chain, left = [], 100 * decades, len(members)
        for levels in range(min(15, len(symbols) - 1) + 1):
            sizes.append(chain + left * width_for(len(symbols) - levels))
            chain, left = chain + left, left - counts[symbols[levels]]
        if best is None or min(sizes) < best[0]:
            best = min(sizes), sizes.index(min(sizes)), decades, members, symbols
    size, levels, decades, members, symbols = best
    own = next((i for i, symbol in enumerate(symbols) if not symbol[1]), NO_OWN)
    wide = any(entry > 255 for entry, _ in symbols)
    head = len(symbols) - 1 | levels << 10 | wide << 14 | decades << 15 | own << 16
    place = {symbol: i for i, symbol in enumerate(symbols)}
    text = [str(int(bit)) for bit in uniform] if decades else []  # the first bit first
    rest = [place[member] for member in members]
    for level in range(levels):
        text += ["0" if symbol == level else "1" for symbol in rest]
        rest = [symbol for symbol in rest if symbol != level]
    if width := width_for(len(symbols) - levels):
        text += [f"{symbol - levels:0{width}b}"[::-1] for symbol in rest]
    bits = "".join(text)
    assert len(bits) == size
    return (struct.pack(f"<I{len(symbols)}{'H' if wide else 'B'}", head, *[entry for entry, _ in symbols])
            + int("0" + bits[::-1], 2).to_bytes((size + 7) // 8, "little"))


class NpdbFile:
    def __init__(self, data):
        self.data = data
        magic, version, header, size, self.sequence, self.ports, self.block_count = struct.unpack_from("<8sIIQQQQ", data)
        assert (magic, version, header, size) == (b"STICNPDB", 2, 256, len(data))
        self.at, self.size = {}, {}
        for i, name in enumerate(SECTIONS):
            self.at[name], self.size[name] = struct.unpack_from("<QQ", data, 48 + 24 * i)
        self.npas = list(struct.iter_unpack("<IIII", self.section("npas")))
        self.palettes = struct.unpack(f"<{self.size['palettes'] // 4}I", self.section("palettes"))
        self.prefixes = dict(struct.iter_unpack("<QI", self.section("prefixes")))
        self.owners = list(struct.iter_unpack("<Q8s", self.section("owners")))

    def section(self, name):
        return self.data[self.at[name]:self.at[name] + self.size[name]]

    # looking up

    def slot(self, page, place):
        return struct.unpack_from("<I", self.data, self.at["index"] + (page - 1) * 32000 + place * 4)[0]

    def owner_of(self, digits):
        """→ owner, ported"""
        if not is_plan(digits):
            return self.longest(digits)
        page, owner, first, _ = self.npas[int(digits[1:4]) - 200]
        if page == 0:
            return owner, False
        slot = self.slot(page, int(digits[4:8]) - 2000)
        if not slot & BLOCK:
            return slot, False
        entry, ported = Block(self.data, (slot - BLOCK) * 8).find(int(digits[8:]))
        return self.palettes[first + entry], ported

    def longest(self, digits):
        if (owner := self.prefixes.get(key_of(digits, 1))) is not None:
            return owner, True
        for count in range(len(digits), 0, -1):
            if (owner := self.prefixes.get(key_of(digits[:count], 0))) is not None:
                return owner, False
        return UNKNOWN, False

    def find(self, digits):
        """→ LRN or "", SPC or "", ported; of a number as its digits, country code first."""
        owner, ported = self.owner_of(digits)
        key, spc = self.owners[owner]
        return str(key >> 4) if key else "", spc.rstrip(b"\0").decode(), ported

    # checking

    def check(self):
        """Everything that the page says."""
        self.used = {UNKNOWN, NOBODY}
        self.named = defaultdict(Counter)  # NPA → owner → how often its blocks name it
        self.check_places()
        self.check_owners()
        self.check_prefixes()
        self.check_plan()
        self.check_palettes()
        assert self.used == set(range(len(self.owners))), "each owner is used somewhere"

    def check_places(self):
        data, end = self.data, 256
        assert struct.unpack_from("<I", data, 252)[0] == crc32c(data[:252]) and not any(data[192:252])
        for i, name in enumerate(SECTIONS):
            crc, zero = struct.unpack_from("<II", data, 48 + 24 * i + 16)
            assert self.at[name] == up8(end) and not any(data[end:self.at[name]]), name
            assert (crc, zero) == (crc32c(self.section(name)), 0), name
            end = self.at[name] + self.size[name]
        assert end == len(data)

    def check_owners(self):
        assert self.owners[:2] == [(0, bytes(8))] * 2 and len(self.owners) <= 1 << 20
        before = 0
        for key, text in self.owners[2:]:
            spc = text.rstrip(b"\0")
            assert b"\0" not in spc and (spc or key)
            if key:
                lrn = str(key >> 4)
                assert key & 15 == len(lrn) and is_plan(lrn)
                row = self.owners[self.prefixes.get(key_of(lrn[:7], 0), NOBODY)]
                assert row == (0, text), f"{lrn} has its NPA-NXX's SPC"
            order = key or int.from_bytes(text, "big")
            assert order > before, "owners are sorted"
            before = order

    def check_prefixes(self):
        keys = [key for key, _ in struct.iter_unpack("<QI", self.section("prefixes"))]
        assert keys == sorted(set(keys))
        for key, owner in self.prefixes.items():
            digits, ported = digits_of(key)
            assert not (ported and digits[0] == "1") and 0 < owner < len(self.owners)
            assert ported or not self.owners[owner][0], "a block has no LRN"
            assert ported or digits[0] != "1" or len(digits) <= 8
            self.used.add(owner)

    def defaults(self):
        """→ for each NPA the owners of the numbers without a row of their own, thousand by thousand."""
        found = {npa: [self.longest(f"1{npa}")[0]] * 8000 for npa in range(200, 1000)}
        for key in sorted(self.prefixes, key=lambda key: key >> 1 & 15):  # the longer over the shorter
            digits, ported = digits_of(key)
            if ported or digits[0] != "1" or len(digits) <= 4 or digits[1] < "2" or digits[4] < "2":
                continue
            first, count = int(digits[4:].ljust(4, "0")) - 2000, 10 ** (8 - len(digits))
            found[int(digits[1:4])][first:first + count] = [self.prefixes[key]] * count
        return [found[npa] for npa in range(200, 1000)]

    def check_plan(self):
        """The npas, the index and the blocks."""
        pages = ported = blocks = 0
        self.end = self.at["blocks"]
        for i, ((page, owner, _, _), defaults) in enumerate(zip(self.npas, self.defaults(), strict=True)):
            if page == 0:
                assert set(defaults) == {owner}
                self.used.add(owner)
                continue
            pages += 1
            assert (page, owner) == (pages, 0)
            slots = [self.slot(page, place) for place in range(8000)]
            assert len(set(slots)) > 1 or slots[0] & BLOCK, "a page is there because the NPA is not one owner's"
            for slot, default in zip(slots, defaults, strict=True):
                if slot & BLOCK:
                    blocks, ported = blocks + 1, ported + self.check_block(i, (slot - BLOCK) * 8, default)
                else:
                    assert slot == default
                    self.used.add(slot)
        assert (len(self.npas), self.size["index"], self.block_count, self.ports) == (800, 32000 * pages, blocks, ported)
        assert self.end == self.at["blocks"] + self.size["blocks"]

    def check_block(self, npa, offset, default):
        """→ how many numbers are ported"""
        _, _, first, count = self.npas[npa]
        assert offset == self.end, "blocks lie behind each other"
        numbers, end = Block(self.data, offset).all()
        self.end = up8(end)
        assert self.data[offset:self.end] == encode(numbers).ljust(self.end - offset, b"\0"), "the one right form"
        assert all(entry < count for entry, _ in numbers)
        owners = Counter((self.palettes[first + entry], ported) for entry, ported in numbers)
        own = [owner for owner, ported in owners if not ported]
        assert own in ([], [default]) and len(own) < len(owners), "a block has a ported number"
        for (owner, is_ported), times in owners.items():
            self.named[npa][owner] += times if is_ported else 1
        return sum(times for (_, is_ported), times in owners.items() if is_ported)

    def check_palettes(self):
        end = 0
        for i, (_, _, first, count) in enumerate(self.npas):
            assert first == end and count <= 65535
            named, end = self.named[i], end + count
            order = sorted(named) if len(named) <= 256 else sorted(named, key=lambda owner: (-named[owner], owner))
            assert list(self.palettes[first:end]) == order
            self.used.update(order)
        assert end == len(self.palettes)
