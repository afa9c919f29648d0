"""The words that providers use for states, in the languages of the known labels, and the effect of each on a sentence.

Tables only. An entry of several words is one phrase; accents and case do not matter.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType

#: Letters without an accent in Unicode that are also written without their stroke, or with a dot.
STROKES = str.maketrans("đłıø", "dlio")
#: Chinese has no spaces: each character is a word, and a longer word is a phrase.
TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[,;.()|:=?!/、。\n]|(?<=\s)[-–—](?=\s)")


class Mark(Enum):
    """The effect of a word on the sentence around it."""

    GOOD = "good"  #: the state that a buyer wants
    BAD = "bad"  #: the other state
    GOOD_NOUN = "good noun"  #: good where nothing follows: "10 - Unlock", but not "Unlock date"
    BAD_NOUN = "bad noun"  #: names what is bad: bad by itself ("In blacklist"), no state as a label ("Blacklist: …")
    NO = "no"  #: negates what follows in its clause; alone it is an answer
    NOT = "not"  #: negates what follows in its clause, also behind a bracket; it is never an answer
    NOT_BEFORE = "not before"  #: negates what precedes it in its clause
    NOR = "nor"  #: both "not" and "or"
    FOUND = "found"  #: negated, it means that nothing is known
    VERIFIED = "verified"  #: negated, nothing in its sentence is known
    AHEAD = "ahead"  #: what follows in its clause is not a fact yet: "can be unlocked"
    NOT_YET = "not yet"  #: nothing in its clause is a fact yet: "eligible"
    CONDITION = "condition"  #: nothing in its sentence is a fact yet: "after 60 days"
    AND = "and"  #: ends a negation
    OR = "or"  #: continues a negation
    REPORTED = "reported"  #: bad, and begins a list: "reported lost, stolen, unpaid"
    END = "end"  #: ends a clause
    WORD = "word"  #: anything else


def _words(text: str) -> frozenset[str]:
    return frozenset(entry.strip() for entry in text.replace("\n", " ").split(",") if entry.strip())


SIM_WORDS = {
    Mark.GOOD: _words("""
unlocked, un locked, open, free, simfree, lock free, simlock free, sim lock free, liberado, liberada, libre,
livre, desbloqueado, desbloqueada, entsperrt, entriegelt, freigeschaltet, frei, lock frei, simlock frei,
sim lock frei, simlockfrei, netlockfrei, deverrouille, deverrouillee, debloque, debloquee, desimlocke,
desimlockee, sbloccato, sbloccata, libero, libera, ontgrendeld, simlockvrij, odblokowany, odblokowana,
odblokowane, bez simlocka, kilitsiz, kilidi acik, kilidi acilmis, разблокирован, разблокирована, разблокировано,
разлочен, свободен, свободный, mo khoa, quoc te, terbuka, 解锁, 解鎖, 解除锁定, 无锁, 無鎖,
ロック解除, ロック解除済み, simフリー, フリー, 잠금 해제, 해제, 해제됨, 언락, مفتوح
"""),
    Mark.GOOD_NOUN: _words("unlock, un lock"),
    Mark.BAD: _words("""
locked, lock, relocked, restricted, restriction, restrictions, blocked, barred, bloqueado, bloqueada, bloqueo,
bloqueio, restringido, restrito, gesperrt, verriegelt, netzgebunden, verrouille, verrouillee, bloque, bloquee,
simlocke, bloccato, bloccata, vergrendeld, geblokkeerd, gelockt, zablokowany, zablokowana, zablokowane, blokada,
blokady, kilitli, kilit, заблокирован, заблокирована, заблокировано, залочен, блокировка, блокировки, привязан,
ограничение, ограничения, ограничений, khoa, terkunci, dikunci, 锁, 鎖, 锁定, 鎖定, 有锁, 有鎖, 已锁, 已锁定,
上锁, 受限, ロック, ロック中, 잠김, 잠금, مقفل
"""),
    Mark.BAD_NOUN: _words("simlock, sim lock, netlock, net lock, simlocka, bloqueo sim, bloqueio sim"),
}
FMI_WORDS = {
    Mark.GOOD: _words("""
off, disabled, disable, unlocked, un locked, inactive, deactivated, desactivado, desactivada, apagado, apagada,
deshabilitado, inactivo, inactiva, desativado, desativada, desligado, desligada, inativo, inativa, desactive,
desactivee, inactif, eteint, deaktiviert, ausgeschaltet, inaktiv, disattivato, disattivata, disattivo, spento,
disabilitato, uitgeschakeld, wylaczony, wylaczona, wylaczone, nieaktywny, nieaktywna, nieaktywne, kapali,
devre disi, выключен, выключена, выключено, отключен, отключена, отключено, неактивен, неактивна, деактивирован,
деактивирована, выкл, da tat, nonaktif, mati, 关闭, 已关闭, 關閉, 已關閉, 关, 关掉, 停用, 已停用, 解锁, 解鎖,
オフ, 無効, 꺼짐, 비활성화, 비활성화됨, معطل
"""),
    Mark.GOOD_NOUN: _words("unlock, un lock"),
    Mark.BAD: _words("""
on, enabled, enable, locked, lock, active, activated, lost, stolen, activado, activada, activo, activa, encendido,
encendida, habilitado, ativado, ativada, ativo, ativa, ligado, ligada, bloqueado, bloqueada, activee, actif,
verrouille, verrouillee, aktiviert, aktiv, eingeschaltet, gesperrt, attivo, attiva, attivato, attivata, acceso,
abilitato, ingeschakeld, actief, wlaczony, wlaczona, wlaczone, aktywny, aktywna, aktywne, zablokowany, acik,
etkin, aktif, kilitli, включен, включена, включено, активен, активна, активирован, активирована, активировано,
вкл, заблокирован, da bat, dang bat, bi khoa, hidup, terkunci, 开启, 已开启, 開啟, 已開啟, 打开, 已打开, 开, 開,
启用, 已启用, 激活, 已激活, 锁, 鎖, 锁定, 鎖定, 丢失, 丟失,
オン, 有効, 켜짐, 활성화, 활성화됨, مفعل, مفعلة
"""),
}
LIST_WORDS = {
    Mark.GOOD: _words("""
clean, good, clear, cleared, whitelisted, whitelist, white listed, white list, allowlisted, allow listed,
limpio, limpia, limpo, limpa, lista blanca, lista branca, sauber, weisse liste, weissen liste, propre, saine,
liste blanche, pulito, pulita, lista bianca, schoon, witte lijst, czysty, czysta, czyste, biala lista,
bialej liscie, temiz, beyaz liste, beyaz listede, чистый, чистая, чист, чиста, чисто, белый список,
белом списке, sach, danh sach trang, bersih, daftar putih, 正常, 干净, 乾淨, 清白, 白名单, 白名單, クリーン, 정상, نظيف
"""),
    Mark.BAD: _words("""
blacklisted, blocklisted, denylisted, hotlisted, blocked, block, barred, banned, suspended, stolen, theft, lost,
irregular, unclean, un clean, fraud, unpaid, nonpayment, non payment, past due, delinquent, bad, dirty, restricted,
restriction, restrictions,
robado, robada, robo, hurto, hurtado, hurtada, perdido, perdida, extravio, extraviado, extraviada, bloqueado,
bloqueada, restriccion, restricciones, ограничение, ограничения, ограничений, suspendido, suspendida,
con reporte, roubado, roubada, roubo, furtado, furtada, furto, restricao, restricoes, suspenso, suspensa,
impedido, gesperrt, gestohlen, verloren, suspendiert, vole, volee, perdu, perdue, bloque, bloquee, suspendu,
suspendue, rubato, rubata, smarrito, smarrita, bloccato, bloccata, sospeso, sospesa, gestolen, geblokkeerd,
skradziony, skradziona, skradzione, kradziony, kradziona, zgubiony, zgubiona, utracony, utracona, zablokowany,
zablokowana, zastrzezony, zawieszony, calinti, kayip, bloke, engelli, engellendi, askiya alindi, украден,
украдена, украдено, краденый, похищен, утерян, утеряна, утеряно, потерян, потеряна, заблокирован, заблокирована,
приостановлен, розыске, розыск, danh cap, bi mat, bi khoa, bi chan, hilang, dicuri, diblokir, diblacklist,
ditangguhkan, 丢失, 丟失, 遗失, 遺失, 被盗, 被盜, 盗, 盜, 挂失, 掛失, 报失, 報失, 被锁, 锁定, 鎖定, 封锁, 拉黑, 停机,
盗難, 紛失, 분실, 도난, مسروق, مفقود
"""),
    Mark.REPORTED: _words("""
reported, flagged, listed, black listed, block listed, deny listed, reportado, reportada, reporte, reportes,
denunciado, denunciada, listado, listada, repertorie, denuncia, gelistet, gemeldet, signale, signalee,
segnalato, segnalata, gemeld, zgloszony, zgloszona
"""),
    Mark.BAD_NOUN: _words("""
blacklist, black list, blocklist, block list, denylist, hotlist, lista negra, liste noire, lista nera,
sperrliste, schwarze liste, schwarzen liste, schwarzer liste, zwarte lijst, czarna lista, czarnej liscie,
kara liste, kara listede, черный список, черном списке, danh sach den, daftar hitam, 黑名单, 黑名單
"""),
}
#: Words with one effect on every kind of value. Under WORD: phrases in which a word of the tables above is no state.
SHARED = {
    Mark.NO: _words("no, non, nein, nao, nie, brak, нет, khong, tidak, nee, 无, 無, 没, 沒"),
    Mark.NOT: _words("""
not, not yet, no mas, nao mais, never, without, neither, free of, free from, isnt, hasnt, doesnt, wasnt, arent,
cannot, cant, unable, failed, ohne, nicht, kein, keine, keinen, niemals, weder, sin, nunca, ningun, ninguna,
ninguno, sem, nenhum, nenhuma, pas, sans, aucun, aucune, jamais, nest, senza, nessun, nessuna, niet, geen,
nooit, bez, не, без, chua, belum, bukan, tanpa, 未, 不, 非, 没有, 沒有, غير
"""),
    Mark.NOR: _words("nor, ni, ani, ни"),
    Mark.NOT_BEFORE: _words("degil, yok"),
    Mark.FOUND: _words("""
found, information, info, data, details, informacion, datos, daten, informationen, данных, информации,
thong tin, 信息, 数据, encontrado, encontrada, encontrados, trouve, trouvee, gefunden, trovato, trovata,
gevonden, znaleziono, найден, найдена, найдено, ditemukan, tim thay, 找到, 查到, 查询到
"""),
    Mark.VERIFIED: _words("""
verified, verify, checked, confirmed, guaranteed, determined, determine, verificado, verifiziert, verifie, проверен
"""),
    Mark.AHEAD: _words("""
previously, formerly, was, please, turn, can, could, may, might, will, would, shall, should, must, to, for, be, ready,
needs, requires, puede, pueden, podra, para, sera, pode, podera, peut, pourra, pour, puo, potra, moze, mozna, może,
может, можно, будет, для, bisa, dapat, akan, co the, open for, open to, free to, free unlock, 可, 能, 待, 将
"""),
    Mark.NOT_YET: _words("""
eligible, eligibility, ineligible, available, unavailable, possible, request, requested, soon, later, temporary,
temporarily, partially, day, days, weeks, months, hours, elegible, elegibilidad, elegivel, apto, apta,
disponible, disponivel, solicitado, dias, eligibilite, possibile, disponibile, idoneo, idonea, giorni, jours,
berechtigt, moglich, kann, wird, werden, konnte, tage, tagen, uygun, dostepne, доступна, доступно, возможна,
возможно, дней, unknown, bulunamadi, probably, likely, maybe, perhaps, possibly, presumably, assumed, supposed,
apparently, only, semi, r sim, rsim, gevey, vermutlich, wahrscheinlich, probablemente, probablement,
provavelmente, probabilmente, вероятно, 申请, 资格, 可能
"""),
    Mark.CONDITION: _words("""
unverified, unconfirmed,
if, when, once, after, until, till, unless, upon, pending, awaiting, before, scheduled, cuando, despues, hasta,
quando, depois, quand, apres, jusqu, dopo, wenn, falls, sobald, nach, bis, если, когда, после, setelah, sau khi,
后, 之后
"""),
    Mark.AND: _words("and, yet, y, e, und, et, и, ve, dan"),
    Mark.OR: _words("or, and or, o, u, ou, oder, noch, of, lub, или, либо, veya, ya da, hoac, atau, 或, 或者"),
    Mark.END: _words("""
but, pero, aber, mas, mais, ma, но, ale, ama, tetapi, nhung, however, although, though, except, 但, 但是
"""),
    Mark.WORD: _words("""
grey listed, gray listed, grey list, gray list, removed from blacklist, blacklist removed, last found, not only,
danh sach, service off, service disabled, service inactive, server off, server disabled, check off, check disabled,
check inactive, lookup off, lookup disabled, lookup inactive
"""),
}
#: Words after a noun that make it the name of a field and not a state.
FIELD_WORDS = _words("status, check, record, records, report, reports, history, database, result, state, lookup")

#: Whole values that answer the question in the label: "SIM Lock: Yes" is locked, "Blacklist: No" is clean.
ANSWERS = MappingProxyType({
    **dict.fromkeys(("yes", "true", "on", "y", "si", "sim", "oui", "ja", "positive", "an", "ein", "aan", "tak", "да",
                     "evet", "var", "co", "bat", "ya", "是", "有", "あり", "はい", "نعم"), False),
    **dict.fromkeys(("no", "false", "off", "n", "nao", "non", "nein", "negative", "aus", "uit", "nee", "nie", "нет",
                     "hayir", "yok", "khong", "tat", "tidak", "否", "无", "無", "没有", "沒有",
                     "なし", "いいえ", "لا"), True),
})  # fmt: skip


def plain_letters(text: str) -> str:
    """Return the text in lower case without accents."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c)).translate(STROKES)


def tokens(text: str) -> list[str]:
    """Return the words and the marks between clauses of a text, plain."""
    return TOKEN.findall(plain_letters(text).replace("'", "").replace("’", ""))


Lexicon = Mapping[str, Sequence[tuple[tuple[str, ...], Mark]]]


def _lexicon(own: dict[Mark, frozenset[str]]) -> Lexicon:
    """Return phrases with their marks by their first word, longest first; groups are added to the shared ones."""
    by_first: dict[str, list[tuple[tuple[str, ...], Mark]]] = {}
    phrases = {tuple(tokens(entry)): mark for mark, group in (SHARED | own).items() for entry in group}
    for phrase, mark in sorted(phrases.items(), key=lambda item: -len(item[0])):
        by_first.setdefault(phrase[0], []).append((phrase, mark))
    return by_first


def marked(text: str, lexicon: Lexicon) -> Iterator[tuple[Mark, str]]:
    """Yield (mark, word) of each word of a text, or of the longest phrase that begins with it."""
    words, at = tokens(text), 0
    while at < len(words):
        unknown = (words[at],), Mark.WORD if words[at][0].isalnum() else Mark.END
        known = (entry for entry in lexicon.get(words[at], ()) if tuple(words[at : at + len(entry[0])]) == entry[0])
        phrase, mark = next(known, unknown)
        yield mark, " ".join(phrase)
        at += len(phrase)


#: The words of a value by the name of the finding that the value is about.
WORDS_OF = MappingProxyType({"simlock": SIM_WORDS, "lock": SIM_WORDS, "fmi": FMI_WORDS, "blacklist": LIST_WORDS})
LEXICONS = MappingProxyType({name: _lexicon(words) for name, words in WORDS_OF.items()})
#: The words by which a value of each finding is recognised.
FINDING_WORDS = MappingProxyType({
    name: frozenset().union(*(group for mark, group in words.items() if mark is not Mark.BAD_NOUN))
    for name, words in (WORDS_OF | {"icloud": FMI_WORDS}).items()
})  # fmt: skip
STATE_WORDS = frozenset(
    "".join(filter(str.isalnum, plain_letters(word))) for words in FINDING_WORDS.values() for word in words
)
