"""Where fictitious people practise: real communes, weighted by who lives there, and streets that any of them might have.

Departments are those of the national nomenclature; INSEE codes and postcodes are real, since programs look them up.
"""

from dataclasses import dataclass
from typing import Final

DEPARTMENTS: Final = dict(
    line.split(" ", 1)
    for line in """01 Ain
02 Aisne
03 Allier
04 Alpes-de-Haute-Provence
05 Hautes-Alpes
06 Alpes-Maritimes
07 Ardèche
08 Ardennes
09 Ariège
10 Aube
11 Aude
12 Aveyron
13 Bouches-du-Rhône
14 Calvados
15 Cantal
16 Charente
17 Charente-Maritime
18 Cher
19 Corrèze
2A Corse-du-Sud
2B Haute-Corse
21 Côte-d'Or
22 Côtes-d'Armor
23 Creuse
24 Dordogne
25 Doubs
26 Drôme
27 Eure
28 Eure-et-Loir
29 Finistère
30 Gard
31 Haute-Garonne
32 Gers
33 Gironde
34 Hérault
35 Ille-et-Vilaine
36 Indre
37 Indre-et-Loire
38 Isère
39 Jura
40 Landes
41 Loir-et-Cher
42 Loire
43 Haute-Loire
44 Loire-Atlantique
45 Loiret
46 Lot
47 Lot-et-Garonne
48 Lozère
49 Maine-et-Loire
50 Manche
51 Marne
52 Haute-Marne
53 Mayenne
54 Meurthe-et-Moselle
55 Meuse
56 Morbihan
57 Moselle
58 Nièvre
59 Nord
60 Oise
61 Orne
62 Pas-de-Calais
63 Puy-de-Dôme
64 Pyrénées-Atlantiques
65 Hautes-Pyrénées
66 Pyrénées-Orientales
67 Bas-Rhin
68 Haut-Rhin
69 Rhône
70 Haute-Saône
71 Saône-et-Loire
72 Sarthe
73 Savoie
74 Haute-Savoie
75 Paris
76 Seine-Maritime
77 Seine-et-Marne
78 Yvelines
79 Deux-Sèvres
80 Somme
81 Tarn
82 Tarn-et-Garonne
83 Var
84 Vaucluse
85 Vendée
86 Vienne
87 Haute-Vienne
88 Vosges
89 Yonne
90 Territoire de Belfort
91 Essonne
92 Hauts-de-Seine
93 Seine-Saint-Denis
94 Val-de-Marne
95 Val-d'Oise
971 Guadeloupe
972 Martinique
973 Guyane
974 La Réunion
975 Saint-Pierre-et-Miquelon
976 Mayotte
987 Polynésie française
988 Nouvelle-Calédonie""".splitlines()
)

# INSEE code, postcode, thousands of people, name; the first of a department is its chief town.
_COMMUNES: Final = """
01053 01000 41 Bourg-en-Bresse
01283 01100 22 Oyonnax
01004 01500 14 Ambérieu-en-Bugey
02408 02000 25 Laon
02691 02100 53 Saint-Quentin
02722 02200 28 Soissons
03190 03000 20 Moulins
03185 03100 34 Montluçon
03310 03200 25 Vichy
04070 04000 16 Digne-les-Bains
04112 04100 22 Manosque
05061 05000 40 Gap
05023 05100 11 Briançon
06088 06000 342 Nice
06004 06600 73 Antibes
06029 06400 74 Cannes
06069 06130 50 Grasse
06027 06800 51 Cagnes-sur-Mer
06083 06500 30 Menton
07186 07000 8 Privas
07019 07200 12 Aubenas
07010 07100 16 Annonay
08105 08000 46 Charleville-Mézières
08409 08200 16 Sedan
09122 09000 10 Foix
09225 09100 15 Pamiers
10387 10000 62 Troyes
11069 11000 46 Carcassonne
11262 11100 56 Narbonne
12202 12000 24 Rodez
12145 12100 22 Millau
13201 13001 39 Marseille 1er Arrondissement
13202 13002 24 Marseille 2e Arrondissement
13203 13003 52 Marseille 3e Arrondissement
13204 13004 49 Marseille 4e Arrondissement
13205 13005 46 Marseille 5e Arrondissement
13206 13006 42 Marseille 6e Arrondissement
13207 13007 34 Marseille 7e Arrondissement
13208 13008 84 Marseille 8e Arrondissement
13209 13009 76 Marseille 9e Arrondissement
13210 13010 58 Marseille 10e Arrondissement
13211 13011 58 Marseille 11e Arrondissement
13212 13012 62 Marseille 12e Arrondissement
13213 13013 92 Marseille 13e Arrondissement
13214 13014 62 Marseille 14e Arrondissement
13215 13015 76 Marseille 15e Arrondissement
13216 13016 16 Marseille 16e Arrondissement
13001 13100 147 Aix-en-Provence
13004 13200 51 Arles
13103 13300 45 Salon-de-Provence
13056 13500 48 Martigues
13005 13400 47 Aubagne
13028 13600 35 La Ciotat
14118 14000 106 Caen
14366 14100 20 Lisieux
14047 14400 13 Bayeux
15014 15000 25 Aurillac
16015 16000 41 Angoulême
16102 16100 18 Cognac
17300 17000 77 La Rochelle
17415 17100 25 Saintes
17299 17300 23 Rochefort
17306 17200 18 Royan
18033 18000 64 Bourges
18279 18100 25 Vierzon
19272 19000 14 Tulle
19031 19100 46 Brive-la-Gaillarde
2A004 20000 71 Ajaccio
2A247 20137 12 Porto-Vecchio
2A041 20169 3 Bonifacio
2B033 20200 48 Bastia
2B096 20250 7 Corte
2B050 20260 5 Calvi
21231 21000 158 Dijon
21054 21200 20 Beaune
22278 22000 44 Saint-Brieuc
22113 22300 20 Lannion
22050 22100 14 Dinan
23096 23000 13 Guéret
24322 24000 29 Périgueux
24037 24100 26 Bergerac
24520 24200 9 Sarlat-la-Canéda
25056 25000 117 Besançon
25388 25200 25 Montbéliard
26362 26000 64 Valence
26198 26200 39 Montélimar
26281 26100 33 Romans-sur-Isère
27229 27000 46 Évreux
27681 27200 23 Vernon
28085 28000 38 Chartres
28134 28100 31 Dreux
29232 29000 63 Quimper
29019 29200 139 Brest
29151 29600 14 Morlaix
29039 29900 19 Concarneau
30189 30000 148 Nîmes
30007 30100 41 Alès
30028 30200 18 Bagnols-sur-Cèze
31555 31000 493 Toulouse
31149 31770 39 Colomiers
31557 31170 26 Tournefeuille
31395 31600 25 Muret
31483 31800 12 Saint-Gaudens
32013 32000 22 Auch
33063 33000 260 Bordeaux
33281 33700 72 Mérignac
33318 33600 65 Pessac
33522 33400 44 Talence
33243 33500 24 Libourne
33009 33120 11 Arcachon
33529 33260 27 La Teste-de-Buch
34172 34000 295 Montpellier
34032 34500 78 Béziers
34301 34200 44 Sète
34003 34300 29 Agde
34145 34400 26 Lunel
35238 35000 220 Rennes
35288 35400 47 Saint-Malo
35115 35300 20 Fougères
35360 35500 19 Vitré
36044 36000 43 Châteauroux
37261 37000 137 Tours
37122 37300 38 Joué-lès-Tours
38185 38000 158 Grenoble
38421 38400 38 Saint-Martin-d'Hères
38151 38130 36 Échirolles
38544 38200 29 Vienne
38053 38300 28 Bourgoin-Jallieu
38563 38500 20 Voiron
39300 39000 17 Lons-le-Saunier
39198 39100 23 Dole
40192 40000 30 Mont-de-Marsan
40088 40100 21 Dax
41018 41000 46 Blois
41269 41100 16 Vendôme
42218 42000 173 Saint-Étienne
42187 42300 34 Roanne
42207 42400 35 Saint-Chamond
42147 42600 15 Montbrison
43157 43000 19 Le Puy-en-Velay
44109 44000 318 Nantes
44184 44600 71 Saint-Nazaire
44162 44800 46 Saint-Herblain
44143 44400 42 Rezé
44036 44110 17 Châteaubriant
45234 45000 116 Orléans
45208 45200 14 Montargis
45155 45500 15 Gien
46042 46000 20 Cahors
46102 46100 10 Figeac
47001 47000 33 Agen
47323 47300 22 Villeneuve-sur-Lot
47157 47200 17 Marmande
48095 48000 12 Mende
49007 49000 155 Angers
49099 49300 54 Cholet
49328 49400 27 Saumur
50502 50000 19 Saint-Lô
50129 50100 79 Cherbourg-en-Cotentin
50025 50300 8 Avranches
51108 51000 44 Châlons-en-Champagne
51454 51100 181 Reims
51230 51200 22 Épernay
52121 52000 22 Chaumont
52448 52100 23 Saint-Dizier
53130 53000 50 Laval
54395 54000 104 Nancy
54547 54500 29 Vandœuvre-lès-Nancy
54528 54200 16 Toul
54329 54300 18 Lunéville
55029 55000 15 Bar-le-Duc
55545 55100 17 Verdun
56260 56000 54 Vannes
56121 56100 57 Lorient
56178 56300 14 Pontivy
57463 57000 120 Metz
57672 57100 42 Thionville
57227 57600 21 Forbach
57631 57200 21 Sarreguemines
58194 58000 33 Nevers
59350 59000 235 Lille
59512 59100 98 Roubaix
59599 59200 98 Tourcoing
59183 59140 86 Dunkerque
59009 59650 62 Villeneuve-d'Ascq
59606 59300 43 Valenciennes
59178 59500 40 Douai
59392 59600 29 Maubeuge
59122 59400 32 Cambrai
59295 59190 21 Hazebrouck
60057 60000 56 Beauvais
60159 60200 40 Compiègne
60175 60100 36 Creil
61001 61000 25 Alençon
61169 61100 14 Flers
62041 62000 42 Arras
62193 62100 67 Calais
62160 62200 40 Boulogne-sur-Mer
62498 62300 32 Lens
62119 62400 25 Béthune
62765 62500 14 Saint-Omer
63113 63000 147 Clermont-Ferrand
63300 63200 19 Riom
64445 64000 77 Pau
64102 64100 51 Bayonne
64122 64200 25 Biarritz
64024 64600 39 Anglet
64422 64400 10 Oloron-Sainte-Marie
65440 65000 43 Tarbes
65286 65100 13 Lourdes
66136 66000 119 Perpignan
67482 67000 287 Strasbourg
67180 67500 35 Haguenau
67462 67600 19 Sélestat
67437 67700 11 Saverne
68066 68000 68 Colmar
68224 68100 108 Mulhouse
68297 68300 22 Saint-Louis
69381 69001 29 Lyon 1er Arrondissement
69382 69002 31 Lyon 2e Arrondissement
69383 69003 104 Lyon 3e Arrondissement
69384 69004 35 Lyon 4e Arrondissement
69385 69005 49 Lyon 5e Arrondissement
69386 69006 52 Lyon 6e Arrondissement
69387 69007 85 Lyon 7e Arrondissement
69388 69008 86 Lyon 8e Arrondissement
69389 69009 52 Lyon 9e Arrondissement
69266 69100 154 Villeurbanne
69259 69200 66 Vénissieux
69034 69300 43 Caluire-et-Cuire
69264 69400 37 Villefranche-sur-Saône
69149 69600 26 Oullins-Pierre-Bénite
70550 70000 15 Vesoul
71270 71000 34 Mâcon
71076 71100 45 Chalon-sur-Saône
71306 71300 18 Montceau-les-Mines
72181 72000 145 Le Mans
72154 72200 15 La Flèche
73065 73000 59 Chambéry
73008 73100 31 Aix-les-Bains
73011 73200 19 Albertville
74010 74000 131 Annecy
74012 74100 37 Annemasse
74281 74200 36 Thonon-les-Bains
74081 74300 17 Cluses
75101 75001 16 Paris 1er Arrondissement
75102 75002 21 Paris 2e Arrondissement
75103 75003 33 Paris 3e Arrondissement
75104 75004 29 Paris 4e Arrondissement
75105 75005 58 Paris 5e Arrondissement
75106 75006 40 Paris 6e Arrondissement
75107 75007 48 Paris 7e Arrondissement
75108 75008 36 Paris 8e Arrondissement
75109 75009 60 Paris 9e Arrondissement
75110 75010 84 Paris 10e Arrondissement
75111 75011 143 Paris 11e Arrondissement
75112 75012 140 Paris 12e Arrondissement
75113 75013 178 Paris 13e Arrondissement
75114 75014 135 Paris 14e Arrondissement
75115 75015 229 Paris 15e Arrondissement
75116 75016 165 Paris 16e Arrondissement
75117 75017 166 Paris 17e Arrondissement
75118 75018 190 Paris 18e Arrondissement
75119 75019 183 Paris 19e Arrondissement
75120 75020 191 Paris 20e Arrondissement
76540 76000 114 Rouen
76351 76600 166 Le Havre
76217 76200 28 Dieppe
76681 76300 29 Sotteville-lès-Rouen
76231 76500 16 Elbeuf
77288 77000 42 Melun
77284 77100 56 Meaux
77083 77420 27 Champs-sur-Marne
77186 77300 16 Fontainebleau
77379 77160 12 Provins
77108 77500 55 Chelles
78646 78000 84 Versailles
78361 78200 44 Mantes-la-Jolie
78498 78300 40 Poissy
78551 78100 45 Saint-Germain-en-Laye
78517 78120 27 Rambouillet
78586 78500 53 Sartrouville
79191 79000 59 Niort
79049 79300 20 Bressuire
80021 80000 134 Amiens
80001 80100 23 Abbeville
81004 81000 49 Albi
81065 81100 42 Castres
82121 82000 61 Montauban
83137 83000 179 Toulon
83061 83600 54 Fréjus
83069 83400 56 Hyères
83050 83300 40 Draguignan
83126 83500 62 La Seyne-sur-Mer
84007 84000 91 Avignon
84087 84100 29 Orange
84031 84200 30 Carpentras
84035 84300 27 Cavaillon
84003 84400 11 Apt
85191 85000 55 La Roche-sur-Yon
85194 85100 45 Les Sables-d'Olonne
85047 85300 20 Challans
86194 86000 89 Poitiers
86066 86100 32 Châtellerault
87085 87000 130 Limoges
88160 88000 32 Épinal
88413 88100 19 Saint-Dié-des-Vosges
89024 89000 34 Auxerre
89387 89100 26 Sens
90010 90000 46 Belfort
91228 91000 68 Évry-Courcouronnes
91174 91100 52 Corbeil-Essonnes
91377 91300 51 Massy
91223 91150 24 Étampes
91477 91120 36 Palaiseau
92050 92000 96 Nanterre
92012 92100 121 Boulogne-Billancourt
92040 92130 67 Issy-les-Moulineaux
92004 92600 83 Asnières-sur-Seine
92025 92700 86 Colombes
92026 92400 82 Courbevoie
92063 92500 78 Rueil-Malmaison
92051 92200 60 Neuilly-sur-Seine
92002 92160 62 Antony
92023 92140 53 Clamart
93008 93000 54 Bobigny
93066 93200 113 Saint-Denis
93048 93100 109 Montreuil
93001 93300 88 Aubervilliers
93005 93600 86 Aulnay-sous-Bois
93029 93700 71 Drancy
93051 93160 68 Noisy-le-Grand
93045 93260 23 Les Lilas
94028 94000 92 Créteil
94081 94400 95 Vitry-sur-Seine
94017 94500 77 Champigny-sur-Marne
94041 94200 63 Ivry-sur-Seine
94068 94100 75 Saint-Maur-des-Fossés
94033 94120 53 Fontenay-sous-Bois
94076 94800 54 Villejuif
95500 95300 32 Pontoise
95018 95100 110 Argenteuil
95127 95000 67 Cergy
95252 95130 28 Franconville
95585 95200 59 Sarcelles
95210 95880 11 Enghien-les-Bains
97105 97100 10 Basse-Terre
97120 97110 14 Pointe-à-Pitre
97101 97139 53 Les Abymes
97113 97190 20 Le Gosier
97209 97200 76 Fort-de-France
97213 97232 39 Le Lamentin
97222 97231 17 Le Robert
97302 97300 65 Cayenne
97311 97320 49 Saint-Laurent-du-Maroni
97304 97310 25 Kourou
97411 97400 154 Saint-Denis
97415 97460 104 Saint-Paul
97416 97410 85 Saint-Pierre
97422 97430 80 Le Tampon
97502 97500 5 Saint-Pierre
97608 97600 71 Mamoudzou
97610 97600 18 Koungou
98735 98714 26 Papeete
98818 98800 94 Nouméa
"""

STREET_TYPES: Final = (
    ("R", "Rue", 46),
    ("AV", "Avenue", 20),
    ("BD", "Boulevard", 9),
    ("PL", "Place", 7),
    ("RTE", "Route", 5),
    ("CHE", "Chemin", 4),
    ("ALL", "Allée", 3),
    ("IMP", "Impasse", 2),
    ("QUAI", "Quai", 1),
    ("CRS", "Cours", 1),
    ("SQ", "Square", 1),
    ("", "", 1),
)

STREETS: Final = tuple(
    """de la République|Victor Hugo|Jean Jaurès|de la Gare|du Général de Gaulle|Pasteur|de l'Église|Gambetta|des Lilas
de la Paix|du Maréchal Foch|de Verdun|de la Mairie|des Écoles|de la Liberté|Voltaire|Émile Zola|Carnot|du 8 Mai 1945
du 11 Novembre|de Strasbourg|de Bretagne|d'Alsace|de Lorraine|des Acacias|des Tilleuls|du Moulin|de la Fontaine|du Château
Saint-Michel|Saint-Jacques|Sainte-Anne|Notre-Dame|de l'Hôpital|de la Poste|du Marché|des Remparts|de l'Abbaye|du Port
Anatole France|Aristide Briand|Léon Blum|Pierre Curie|Marie Curie|Louis Pasteur|Claude Bernard|Ambroise Paré|Laennec
Jules Ferry|Paul Bert|Henri Barbusse|Jean Moulin|Pierre Brossolette|Lamartine|Molière|Racine|La Fontaine|Jean de La Bruyère
George Sand|Simone Veil|Olympe de Gouges|Rosa Parks|Nelson Mandela|Salvador Allende|Gabriel Péri|Marcel Cachin|Didot
de Metz|de Nantes|de Paris|de Lyon|de Bordeaux|de Toulouse|de Rennes|de l'Europe|des États-Unis|d'Italie|d'Espagne
du Stade|des Sports|de la Piscine|du Parc|de la Forêt|des Chênes|des Pins|des Oliviers|des Vignes|des Champs|du Lavoir
de la Croix Rouge|de la Croix Blanche|du Calvaire|des Carmes|des Capucins|des Cordeliers|des Jacobins|Saint-Exupéry
du Docteur Roux|du Docteur Schweitzer|du Professeur Calmette|de l'Abbé Grégoire|du Commandant Charcot|Édouard Herriot
François Mitterrand|Charles Baudelaire|Honoré de Balzac|Jacques Prévert|Boris Vian|Georges Brassens|Édith Piaf
des Bleuets|des Mimosas|des Roses|des Glycines|du Puits|de l'Étang|du Lac|de la Plage|de la Mer|des Dunes|du Phare""".replace(
        "\n", "|"
    ).split("|")
)

COMPLEMENTS: Final = ("BATIMENT A", "BAT B", "1ER ETAGE", "2EME ETAGE", "RDC GAUCHE", "ESCALIER C", "PORTE 12")
RESIDENCES: Final = (
    "RESIDENCE LES LILAS",
    "IMMEUBLE LE MERCURE",
    "CENTRE COMMERCIAL LES ARCADES",
    "ZA DES PRES",
    "LIEU DIT LE BOURG",
    "PARC D'ACTIVITES DE L'ETANG",
    "RESIDENCE DU PARC",
    "LE CLOS SAINT-JEAN",
)


@dataclass(frozen=True, slots=True)
class Commune:
    """A commune: INSEE code, postcode, name, department, thousands of people, its rank in `COMMUNES`."""

    code: str
    postcode: str
    name: str
    department: str
    people: int
    rank: int


def _read() -> tuple[Commune, ...]:
    found = []
    for rank, line in enumerate(_COMMUNES.strip().splitlines()):
        code, postcode, people, name = line.split(" ", 3)
        department = code[:3] if code >= "97" else code[:2]
        found.append(Commune(code, postcode, name, department, int(people), rank))
    return tuple(found)


COMMUNES: Final = _read()
CHIEF_TOWNS: Final = {each.department: each for each in reversed(COMMUNES)}


def _spread(weights: list[int]) -> tuple[int, ...]:
    """4,096 steps on which each rank stands as often as its weight says, one at least."""
    total, sum_so_far = sum(weights), 0
    steps: list[int] = []
    for rank, weight in enumerate(weights):
        sum_so_far += weight
        steps += [rank] * max(1, round(4096 * sum_so_far / total) - len(steps))
    return tuple((steps + [0] * 4096)[:4096])


# A number below 4,096 gives a commune, or a type of street.
BY_PEOPLE: Final = tuple(COMMUNES[rank] for rank in _spread([each.people for each in COMMUNES]))
BY_USE: Final = tuple(STREET_TYPES[rank][:2] for rank in _spread([use for _, _, use in STREET_TYPES]))
