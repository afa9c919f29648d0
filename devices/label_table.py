"""The table of labels that providers use for facts about a device, and the name under which each is stored."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import MappingProxyType

from devices.words import STATE_WORDS, plain_letters

#: Characters of a label that are read.
LABEL_REACH = 80
#: Labels whose name is cached: all texts of a service have the same labels.
REMEMBERED = 8192
#: Label texts by the name under which they are stored; case, spaces and punctuation do not matter.
#: If a main field has several names, MAIN_FIELDS of the report has their order.
LABEL_TEXTS = """
search_term: search term, searched imei, search imei, searched for, query, imei searched, queried imei,
    input imei, ordered imei, requested imei, submitted imei, imei requested, termino de busqueda, imei
    consultado, imei buscado, imei consultada, imei recherche, gesuchte imei, abgefragte imei, imei cercato,
    查询imei, 查询串号, запрошенный imei, search, search value, search number, searched number, checked
    imei, imei checked, entered imei, imei entered, lookup, lookup imei, looked up imei, imeisv, imei sv,
    input, 查询号码, 查询
imei: imei, imei 1, 1st imei, first imei, primary imei, imei meid, meid imei, imei esn, imei sn, sn imei,
    imei serial, imei serial number, imei slot 1, imei sim 1, imei code, 串号, imei1 number, nomor imei,
    numero imei, numero de imei, imei号, 串号1, imei串号, номер imei, so imei, imei numarasi, numer imei,
    imei numbers, imeis
imei2: imei 2, 2nd imei, second imei, secondary imei, imei slot 2, imei sim 2, imei2 number, imei number 2,
    alternate imei, alt imei, imei secondary, imei second, dual imei, second sim imei, 串号2
serial: serial, serial number, s n, serial no, serialnr, serial num, sn number, numero de serie, n de serie,
    no de serie, numero serie, seriennummer, 序列号, серийный номер, nomor seri, numero di serie, 序號,
    序列号码, serienummer, seri numarasi, seri no, numer seryjny, so serial, so seri, no seri
model: model, device model, phone model, iphone model, make model, brand model, modelo, modelo do aparelho,
    modele, modell, 型号, модель, gerat, modello, 设备型号, 手机型号, 机型, 產品型號, 产品型号, 型號,
    设备名称, модель телефона, modelo del dispositivo, modelo do dispositivo, modele de l appareil, model
    urzadzenia, kieu may, dong may, model telefonu, geratemodell
model_description: model description, model desc, device description, product description, sku description
model_name: model name, model title, marketing name, market name, commercial name
device_name: device, device name, product, product name, phone, phone name, handset, dispositivo, equipo,
    appareil, 设备, 产品名称, 手机名称, 产品, nazwa urzadzenia, cihaz, thiet bi, устройство, perangkat
model_number: model number, model no, model nr, model num
carrier: carrier, locked carrier, carrier name, locked network, locked to, operator, operator name, network
    operator, network provider, current carrier, sim carrier, simlock carrier, locked to carrier, locked
    operator, network carrier, carrier network, home network, operador de red, service provider, wireless
    carrier, compania, operadora, operador, operateur, operateur verrouille, netzbetreiber, anbieter,
    运营商, оператор, operatore, nha mang, 运营商名称, 電信業者, operateur d origine, operadora de origen,
    nha mang khoa, сеть, мобильный оператор, sebeke operatoru
network: network, network name, red, rede, reseau, netz, 网络
initial_carrier: initial carrier, original carrier, first carrier, sold carrier, purchase carrier,
    activation carrier, original network, initial network, original operator
simlock: simlock, sim locked, sim status, sim state, sim restriction, sim card lock, simlock carrier status,
    bloqueo sim, bloqueo de sim, bloqueio sim, bloqueio de sim, blocage sim, verrouillage sim, verrouillage
    operateur, estado de bloqueo, 网络锁, sim锁, блокировка sim, sim lock code status, locked status,
    网络锁状态, 网络锁定, 運營商鎖, 运营商锁, sim卡锁, 锁网状态, 網路鎖, sim鎖, 网锁, sim lock durumu, sim
    kilidi, sim blokade, blokada sim, blocco sim, bloqueo simlock, simlockage, verrou sim, sim sperre,
    simlock status, sim блокировка, sim блок, khoa sim, khoa mang, kunci sim, sim kilit durumu, simlock
    vergrendeling, stan simlocka, estado sim, estado de la sim, bloqueo de tarjeta sim, привязка к
    оператору, trang thai sim, simロック, 유심 잠금, sim 잠금, قفل الشريحة, قفل الشبكة
carrier_lock: carrier lock, network lock, operator lock, carrier locked, network locked, netlock, subsidy
    lock, bloqueo de red, bloqueo de operadora, is locked, locked, bloqueo de operador, bloqueo de compania,
    bloqueio de operadora, bloqueio de rede, blocco operatore, ag kilidi, operator kilidi, blokada sieci,
    kunci jaringan, netzsperre, блокировка сети, блокировка оператора, 网络锁定状态, ag kilidi durumu,
    sebeke kilidi, 运营商锁定
sim: sim
lock: lock, lock status, lock state, phone locked status
unlocked: unlocked, unlock status, unlocked status, is unlocked, sim unlocked, carrier unlocked, network
    unlocked, factory unlocked, sim free
fmi: fmi, find my iphone, find my, fmip, fmi lock, fmi on, fmi enabled, fmip enabled, find my phone, find my
    ipad, find my mac, find my watch, find my apple watch, find my iphone fmi, fmi find my iphone, find my
    iphone icloud, icloud lock, icloud lock status, icloud activation lock, activation lock, apple
    activation lock, apple id lock, fmi icloud, icloud fmi, fmi icloud lock, icloud fmi status, icloud find
    my iphone, icloud on off, buscar mi iphone, buscar iphone, buscar meu iphone, bloqueo de activacion,
    bloqueio de ativacao, localiser mon iphone, verrouillage d activation, mein iphone suchen,
    aktivierungssperre, wo ist, wo ist fmi, wo ist mein iphone, 查找我的iphone, 激活锁, найти iphone,
    启用锁, 啟用鎖定, 查找, 查找iphone, 查找我的手机, 查找我的设备, 尋找我的iphone, id锁, id激活锁,
    icloud锁, icloud激活锁, 激活锁定, 查找我的iphone激活锁, блокировка активации, найти мой iphone, найти
    айфон, локатор, bloqueo icloud, bloqueio icloud, trova il mio iphone, trova iphone, dov e, blocco
    attivazione, blocco di attivazione, iphone umu bul, iphone bul, aktivasyon kilidi, etkinlestirme kilidi,
    znajdz moj iphone, blokada aktywacji, blokada icloud, tim iphone, tim iphone cua toi, khoa kich hoat,
    khoa icloud, kunci aktivasi, temukan iphone saya, zoek mijn iphone, activeringsslot, verrou d
    activation, verrouillage activation, localiser, bloqueo activacion, estado fmi, bloqueo de activacion
    icloud, aktivierungssperre icloud, icloud kilidi, icloud activation, find my iphone status,
    find my iphone lock, iphoneを探す, アクティベーションロック, 나의 iphone 찾기, 활성화 잠금, قفل التنشيط,
    العثور على iphone
lost_mode: lost mode, lost mode status, icloud lost mode, icloud lost, clean lost, clean lost mode
find_my_device: find my device, find device, find my mobile
icloud: icloud, icloud status, icloud state, icloud account status, apple icloud, icloud clean lost
blacklist: blacklist, blacklisted, gsma, gsma status, gsma blacklist, gsma blacklisted, is blacklisted,
    blocklist, blocklisted, blacklist gsma, blacklist check, gsma check, imei blacklist, blacklist status
    gsma, us block status, block status, blocked status, blocked, is blocked, blacklist usa, barred, barred
    status, stolen, stolen status, lost stolen, lost or stolen, reported stolen, reported lost or stolen,
    reported lost stolen, lista negra, liste noire, sperrliste, schwarze liste, 黑名单, черный список,
    daftar hitam, ブラックリスト, 블랙리스트, القائمة السوداء, is stolen, is barred,
    lost stolen status, lost or stolen status, ceir status, 黑名單, 黑名单查询, 全球黑名单,
    gsma黑名单, черный список gsma, czarna lista, kara liste, kara liste durumu, danh sach den, lista nera,
    zwarte lijst, blacklisting, en lista negra, na lista negra, reporte de robo, reportado, reported,
    blackliste, deny list, ceir, karaliste, 黑名单状态, liste noire gsma, lista negra gsma, gsma черный
    список
clean: is clean, imei clean, esn clean
lost: lost, lost status, reported lost, fraud, fraud status, reported fraud, unpaid, unpaid bills, unpaid
    balance, suspended, is suspended, is lost, perdido, extraviado, perdu, verloren, smarrito
esn: esn, esn status, esn check, bad esn, us esn, esn imei status, meid status
imei_status: imei status, imei state, imei check
network_status: network status, network state
status: status, device status result, result status, estado, 状态, статус, stan, durum, trang thai, stato,
    etat
warranty: warranty, warranty status, coverage, coverage status, warranty coverage, warranty state, apple
    warranty, factory warranty, manufacturer warranty, hardware warranty, garantia, garantie, garanzia,
    保修, 保修状态, гарантия, garansi, bao hanh, 保固, 保固狀態, 质保, garanti, garanti durumu, gwarancja,
    garantie constructeur, гарантийный статус, limited warranty, limited warranty status, apple limited
    warranty, garantia limitada, garantie limitee
service_coverage: repairs service coverage, repairs and service coverage, repair coverage, repair and
    service coverage, repairs coverage, service coverage, hardware coverage, repairs and services coverage
warranty_end: warranty until, warranty end, warranty end date, warranty expiration date, warranty
    expiration, warranty expires, warranty expiry, warranty expiry date, warranty ends on, coverage end
    date, coverage expires, coverage end, warranty valid until, warranty expires on, 保修到期, 保修到期日,
    保修截止日期, 保固到期
warranty_start: warranty start, warranty start date, coverage start date, warranty from
warranty_days: limited warranty period, warranty period, warranty days, warranty days left, days remaining,
    warranty remaining
meid: meid, meid number, meid dec, meid hex
applecare: applecare, applecare eligible, applecare status
purchase_date: purchase date, estimated purchase date, est purchase date, date of purchase, purchased on,
    fecha de compra, data da compra, date d achat, kaufdatum, 预计购买日期, 购买日期
technical_support: technical support, telephone technical support, phone technical support, tech support
replaced: replaced, replaced device, replaced by apple, is replaced
replacement: replacement, replacement device, is replacement
demo: demo, demo unit, demo device, is demo
loaner: loaner, loaner device, loaner unit, is loaner
refurbished: refurbished, refurbished device, is refurbished, refurbished unit
activation: activation status, activation state, activation, 激活状态, 激活, статус активации, estado de
    activacion
activated: activated, is activated, device activated
registration: registration status, registration, registered, registered device
brand: brand, mark, make, marca, marque, marke, 品牌, бренд, hang, marka
manufacturer: manufacturer, manufactured by, maker, fabricante, fabricant, hersteller, 制造商, 厂商,
    производитель, producent, uretici, produttore, fabrikant, nha san xuat
color: color, colour, model color, model colour, device color, farbe, couleur, cor, 颜色, 顏色, цвет, kolor,
    renk, colore, kleur, mau, mau sac, warna, 设备颜色, 机身颜色
capacity: capacity, storage, memory, storage capacity, storage size, device capacity, capacidad, capacidade,
    容量, 存储容量, 内存, 存储, емкость, объем памяти, память, pojemnosc, kapasite, hafiza, capacita,
    memoria, almacenamiento, capacite, speicher, dung luong, kapasitas, armazenamento, 设备容量, 机身容量,
    储存容量
part_number: part number, part no, mpn, manufacturer part number, part num
mi_lock: mi lock, mi lock status, mi account lock, mi account, xiaomi lock, mi cloud, mi cloud lock, xiaomi
    mi lock, mi activation lock, mi cloud status, xiaomi account lock
mi_lost: mi lost, mi lost status, mi status, xiaomi lost status, mi cloud lost
knox_guard: knox guard, kg lock, knox guard status, knox guard lock, samsung knox guard
mdm: mdm, mdm status, mdm lock, mdm lock status, mdm enrolled
unlock_code: unlock code, unlock pin, network unlock pin, network pin, unlocking code, network unlock code,
    simlock code, sim unlock code, sim network unlock pin, codigo de desbloqueo, codigo
code: code
nck: nck, network code, nck code, netlock code
mck: mck, mck code, master code
unfreeze: unfreeze, unfreeze code, defreeze, defreeze code, unfreeze pin
reason: reason, reject reason, rejection reason, motivo, rejected reason
error: error, errors, err, error message, fehler, erreur, erro
message: message, msg, mensaje, mensagem
order: order
"""
#: Labels that are stored under their own name. They are listed so that they end a value in text without separators.
OWN_NAME_LABELS = """
next tether policy, next tether policy id, next tether policy details, next tether activation policy
description, tether policy, activation policy, initial activation policy, initial activation policy id,
initial activation policy description, initial activation policy details, applied activation policy, applied
activation policy id, applied activation policy description, applied activation policy details, next
activation policy, next activation policy id, last activation policy, sim policy, valid purchase date,
purchase country, country, country of purchase, sold by, sold to, sold to name, sold by country, ship to
country, sales buyer, sold date, ship date, production date, manufacture date, first activation date, last
activation date, activation date, last restore date, last unbrick date, unbrick, unbricked, unlock date,
description, error code, device sku, sku, identifier, model id, model code, model region, region, product
type, product line, product version, device age, age, device status, device id, device lock, phone lock,
device type, repairs and service expiration date, repairs and service expired by, repairs and service
coverage expiration date, general list status, event type, record date, blacklist records, blacklist record,
reporting operator, reporting carrier, reported carrier, reported operator, blacklist reason, blacklist
date, blacklist country, blacklist history, blacklisted by, blacklisted on, blacklist type, reported by,
reported date, do number, full name, material code, board tracking no, msn, kg status, kg
message, knox, knox status, knox warranty, frp, frp lock, frp status, google lock, google account, google
account lock, samsung account, samsung lock, reactivation lock, oem lock, bootloader, bootloader lock,
bootloader status, contract status, contract, finance status, financed, financial status, blocked
by, year, week, factory, type, phone category, iccid, imsi, eid, csn, ecid, udid, ios, ios version, os
version, software version, wifi mac, wifi mac address, wi fi mac address, bluetooth mac address, bluetooth
mac, mac address, zip ssn required, sim type, dual sim, esim, sim slot, ram, chipset, cpu, note, notes,
comment, remark, result, response, success, tac, carrier country, network type, network technology, policy
id, simlock policy, lock policy, lock type, lock date, unlock eligible, unlock eligibility, eligibility,
spck, spck code, pck, puk, cp code, sp code
"""
#: Words around a label that do not change its meaning.
PREFIXES = (
    "current", "estimated", "device", "phone", "apple", "iphone", "gsma", "usa", "us", "uk", "global",
    "worldwide", "international", "full", "live", "new", "your", "the", "handset", "product", "mobile",
    "samsung", "latest", "status", "estadode", "estadoen", "estado", "statut", "stato", "numerode", "статус", "当前",
    "手机", "苹果", "设备", "stan", "trangthai",
)  # fmt: skip
#: Names that need the exact label: "Phone Lock" is not the SIM lock, "Status Code" is not an unlock code.
AMBIGUOUS = frozenset({"lock", "code"})
SUFFIXES = ("status", "state", "number", "no", "num", "result", "check", "状态", "狀態", "durumu")


def label_key(label: str) -> str:
    """Return a label as the table spells it: letters and digits only."""
    return "".join(filter(str.isalnum, plain_letters(label)))


def _labels() -> dict[str, str]:
    table = [line.split(":") for line in LABEL_TEXTS.replace("\n    ", " ").strip().splitlines()]
    names = {label_key(text): name for name, texts in table for text in texts.split(",")}
    return {label_key(text): slug(text) for text in OWN_NAME_LABELS.split(",")} | names


def slug(label: str) -> str:
    words = re.sub(r"(?<=[a-z]{2})(?=[A-Z])", " ", label[:LABEL_REACH])
    return "_".join(re.findall(r"[^\W_]+", words.casefold()))


LABELS = MappingProxyType(_labels())
KNOWN_NAMES = frozenset({*LABELS.values(), "network_modes", "network_status", "icloud_status", "esn_status"})


@lru_cache(maxsize=REMEMBERED)
def name_of(key: str, prefixes: tuple[str, ...] = PREFIXES, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return the name for a label key, also without affixes; empty if the table has none."""
    for front in _stripped(key[:LABEL_REACH], prefixes, str.removeprefix):
        for core in _stripped(front, suffixes, str.removesuffix):
            name = LABELS.get(core, "")
            if name and (name not in AMBIGUOUS or front == key or key.startswith("current")):
                return name
    return ""


def known_name(label: str) -> str:
    """Return the name for a label, or for its part before a bracket: "Blacklist Status (Brazil)"."""
    return _known_name(label[: 2 * LABEL_REACH])


@lru_cache(maxsize=REMEMBERED)
def _known_name(label: str) -> str:
    whole = name_of(label_key(label))
    return name_of(label_key(label.partition("(")[0])) if not whole and "(" in label else whole


def is_label(text: str) -> bool:
    """Return whether the table has the label, unless it is a word that is also a value, such as "Locked"."""
    key = label_key(text)
    return key not in STATE_WORDS and bool(name_of(key))


def _stripped(key: str, affixes: tuple[str, ...], strip: Callable[[str, str], str]) -> Iterator[str]:
    """Yield the key, then the key with one affix after the other removed."""
    while key:
        yield key
        key = next((shorter for affix in affixes if (shorter := strip(key, affix)) != key), "")
