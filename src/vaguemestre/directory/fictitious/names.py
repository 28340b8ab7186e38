"""Names that French health professionals may bear: whose parts are common, and whose bearers do not exist.

Rules: the commonest names come first in each list and are drawn the most, so that homonyms are as frequent as they are in
life; names from elsewhere, particles, apostrophes, accents and double surnames occur as they do in the real files. A name
is drawn from numbers below 65,536, never from a source of chance: the same numbers give the same name.
"""

from collections.abc import Sequence
from typing import Final


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FAMILY: Final = _listed("""
Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre Leroy Roux David Bertrand
Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Lefèvre Faure André Mercier Blanc Guérin
Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin Clément Morin Nicolas Henry Roussel Mathieu Gautier
Masson Marchand Duval Denis Dumont Marie Lemaire Noël Meyer Dufour Meunier Brun Blanchard Giraud Joly Rivière Lucas Brunet
Gaillard Barbier Arnaud Martinez Gérard Roche Renard Schmitt Roy Leroux Colin Vidal Caron Picard Roger Fabre Aubert
Lemoine Renaud Dumas Lacroix Olivier Philippe Bourgeois Pierre Benoît Rey Leclerc Payet Rolland Leclercq Guillaume Lecomte
López Jean Dupuy Guillot Hubert Berger Carpentier Sánchez Dupuis Moulin Louis Deschamps Huet Vasseur Pérez Boucher Fleury
Royer Klein Jacquet Adam Paris Poirier Marty Aubry Guyot Carré Charles Renault Charpentier Ménard Maillard Baron Bertin
Bailly Hervé Schneider Fernandez Collet Léger Bouvier Julien Prévost Millet Perrot Daniel Cousin Germain Breton Besson
Langlois Rémy Pelletier Lévêque Perrier Leblanc Barré Lebrun Marchal Weber Mallet Hamon Boulanger Jacob Monnier Michaud
Rodríguez Guichard Gillet Étienne Grondin Poulain Tessier Chevallier Collin Chauvin Bouchet Gay Lemaître Bénard Maréchal
Humbert Reynaud Antoine Hoarau Perret Barthélemy Cordier Pichon Lejeune Gilbert Lamy Delaunay Pasquier Carlier Laporte
Gros Buisson Mercadier Bodin Blanchet Lebreton Ferrand Ollivier Coulon Prigent Cohen Hernandez Allard Tournier Verdier
Jacques Couturier Devaux Boutin Labbé Diaz Gomez Voisin Maury Camus Bigot Lopes Besnard Regnier Sauvage Maillot Albert
Texier Guilbert Parent Bousquet Bourdon Blondel Duhamel Delattre Ferreira Briand Ledoux Pineau Lesage Martel Merle Levy
Pascal Imbert Legros Mahé Rossi Thibault Fischer Launay Rousset Maurice Sabatier Tanguy Valette Pons Dijoux Georges Godard
Chauvet Guillou Hardy Hebert Vallée Raymond Samson Teixeira Bouvet Lelièvre Duclos Delmas Chartier Didier Salmon Masse
Lacombe Alexandre Leduc Gonçalves Loiseau Hoareau Joubert Barbe Evrard Becker Bazin Antunes Toussaint Mendy Traoré Diallo
Ribeiro Jourdan Marin Peltier Navarro Lenoir Gilles Mary Neveu Bruneau Torres Coste Rocher Blin Costa Drouet Charrier
Ramos Cros Nguyen Tran Pham Le Pereira Alves Guibert Maillet Benard Rodrigues Martins Rousselle Delorme Mounier Gaudin
Seguin Vaillant Ferry Valentin Bertaux Grenier Lagarde Delahaye Leconte Leblond Thierry Blot Delage Bruyère Billard
Stephan Jung Courtois Favre Chrétien Brault Bonneau Faivre Jamet Weiss Gilles Constant Beaumont Wagner Hamel Descamps Guy
Pottier Lacoste Merlin Chambon Lombard Normand Prat Raynaud Morvan Ballet Cornu Bonnin Rigaud Castel Dumoulin Chapuis
Vial Mangin Ganne Guignard Tellier Delannoy Bourdin Walter Raoul Maurin Fortin Mas Bonhomme Favier Schwartz Rault Lafon
Cadet Combes Pelissier Crépin Soulier Peyre Puech Cazenave Etcheverry Ibarra Harispe Elissalde Casanova Mattei Santini
Colonna Luciani Albertini Orsini Filippi Poli Giudicelli Paoli Agostini Leccia Kieffer Zimmermann Hoffmann Keller Schmidt
Kuntz Roth Wolff Schaeffer Ehrhardt Hess Baumann Lang Vogel Fuchs Huber Beck Sutter Oberlin Ziegler Muller Lehmann
""")

_AFAR: Final = _listed("""
Benali Haddad Mansouri Belkacem Cherif Bouzid Benamar Hamdi Saïdi Amrani Bensaïd Khelifi Mebarki Ziani Boukhari Rahmani
Slimani Ferhat Aït-Ahmed Belhadj Ouali Meziane Bouchareb Zerrouki Hadjadj Benyahia Chaouche Lahlou Bennani Alaoui Tazi
Fassi Berrada Chraïbi Idrissi El-Amrani El-Khoury Trabelsi Jaziri Gharbi Mejri Ayari Ben-Salah Khoury Nassar Sleiman
Diop Ndiaye Sow Fall Ba Camara Koné Coulibaly Cissé Touré Keita Sissoko Ouattara Kouassi Kouamé N'Guessan N'Diaye N'Dour
M'Bengue Mbaye Nkoulou Etoundi Eyenga Ngo Nzinga Mabiala Makosso Moukoko Rakotomalala Razafindrakoto Andriamanana
Rakotoarisoa Rabemananjara Ramanantsoa Nguyễn Trần Lê Phạm Hoàng Huỳnh Vũ Võ Đặng Bùi Chen Wang Li Zhang Liu Wu Huang Kim
Popescu Ionescu Dumitrescu Marinescu Stan Radu Constantinescu Mureșan Georgescu Țurcanu Kowalski Nowak Wójcik Zieliński
Szymański Dąbrowski Novák Svoboda Petrović Jovanović Nikolić Ivanov Petrov Dimitrov Papadopoulos Georgiou Rossi Ricci
Esposito Bianchi Romano Ferrari Marchetti De-Luca D'Angelo D'Amico Dell'Acqua Müller Schröder Jäger Böhm Silva Santos
Oliveira Araújo Conceição Simões Gonçalves Guimarães Nuñez Muñoz Ibáñez Jiménez Domínguez Peña Castaño Yılmaz Kaya Demir
Şahin Çelik Özdemir Aydın Arslan O'Brien O'Connor McCarthy Smith Van-Damme Vandenberghe Vanhoutte Van-der-Meer Haddou
Azoulay Benhamou Zerbib Attal Assouline Bensoussan Sebag Taïeb Haziza Nakache Hovsepian Sarkissian Kevorkian Der-Agopian
""")

_PARTICLES: Final = _listed("""
de_La_Tour de_La_Roche de_La_Fontaine du_Bois d'Almeida d'Hauteville d'Argent d'Estienne d'Oliveira de_Villiers
de_Saint-Martin de_Montigny de_Beaumont de_Castro de_Oliveira de_Sousa da_Silva da_Costa dos_Santos de_Almeida
du_Plessis du_Pont des_Rieux des_Essarts de_L'Estoile L'Hostis L'Herbier Le_Goff Le_Gall Le_Roux Le_Guen Le_Bihan
Le_Corre Le_Bris Le_Floch Le_Berre Le_Guennec Le_Borgne Le_Dantec Le_Meur La_Rosa La_Fontaine Le_Pennec Le_Moal
Saint-Pierre Saint-Jean Sainte-Marie El_Idrissi El_Haddad Ben_Amor Ben_Slimane Van_der_Berg Van_Houten Von_Stein
Aït_Ouali Abd_El_Kader De_Vos De_Smet De_Backer Di_Marco Di_Stefano Lo_Presti Ould_Sidi Mac_Leod Petit-Jean Bon_Durand
""")

# What rare names are made of: a place, a trade or a trait, and an ending.
_ROOTS: Final = _listed("""
Beau Bel Bour Bret Cail Cast Cham Chap Char Chat Clav Com Cor Coul Cour Crest Del Dor Dur Esp Fav Ferr Flam Font Four Fraiss
Gail Gar Gaud Gir Gour Gran Grim Guil Hau Jal Jour Lab Lal Lan Lav Lor Mal Mar Mass Mazel Mon Mor Mour Nau Noyer Pail Pas Pell
Per Peyr Pin Plan Pont Pou Pra Puy Quin Rab Ram Rav Ray Rib Rich Roc Rob Rouv Sab Sal Sarr Sauv Ser Soul Tail Tar Terr Thiv Tour
Tron Val Varen Vas Vern Vig Vill Vivi
""")
_ENDINGS: Final = _listed("""
ac ade aire al ance and anges ard aud aux ay eau el elle emont enc enet er eron et eyron ez iac ian iat ié ier ière iez igny
in ineau ion ois on onnet ont ot oul ouze oux ude uel uis y
""")

_WOMEN: Final = _listed("""
Marie Nathalie Isabelle Sylvie Catherine Anne Sophie Céline Christine Valérie Sandrine Julie Stéphanie Véronique Émilie
Aurélie Camille Laura Caroline Claire Hélène Florence Delphine Laurence Virginie Mélanie Pauline Marion Karine Élodie
Charlotte Audrey Mathilde Patricia Martine Brigitte Françoise Laetitia Sarah Léa Manon Chloé Emma Lucie Marine Amandine
Anaïs Alice Juliette Justine Cécile Elisabeth Agnès Béatrice Bénédicte Corinne Dominique Muriel Nadine Pascale Frédérique
Fabienne Carole Séverine Estelle Morgane Solène Gwenaëlle Maëlle Maud Noémie Océane Ophélie Clémence Clara Inès Jeanne
Louise Margaux Agathe Adèle Alexandra Anne-Sophie Anne-Laure Marie-Christine Marie-Claire Marie-Hélène Marie-Laure
Marie-Pierre Marie-France Annie Michèle Monique Jacqueline Danielle Chantal Evelyne Geneviève Odile Colette Josiane
Sabrina Samira Fatima Nadia Leïla Yasmina Khadija Malika Karima Naïma Amina Aïcha Mariam Aminata Fatou Awa Rokhaya
Thi-Lan Mai Linh Hương Yuki Mei Olga Irina Natalia Svetlana Elena Ioana Andreea Mihaela Joanna Katarzyna Małgorzata
Giulia Francesca Chiara Maria Ana Inês Conceição Carmen Pilar Begoña Rosa Angela Astrid Ingrid Sylvaine Gaëlle Nolwenn
Rozenn Enora Maïwenn Soizic Armelle Apolline Capucine Victoire Hortense Blanche Constance Eugénie Héloïse Joséphine Zoé
Éva Édith Eléonore Elsa Esther Fanny Flore Gabrielle Jade Jessica Johanna Laure Lisa Lola Maëva Marguerite Mylène Myriam
Oriane Pénélope Perrine Rachel Roxane Salomé Suzanne Tiphaine Vanessa Violaine Yaël Ninon Alix
""")

_MEN: Final = _listed("""
Jean Philippe Pierre Michel Alain Nicolas Christophe Daniel Bernard Éric Thomas David Frédéric Laurent Patrick Olivier
Stéphane Pascal Thierry Julien Sébastien François Alexandre Vincent Guillaume Antoine Jérôme Bruno Christian Didier
Benjamin Mathieu Maxime Romain Florian Clément Jean-Pierre Jean-Luc Jean-François Jean-Marc Jean-Claude Jean-Michel
Jean-Baptiste Jean-Philippe Marc Paul Jacques Gérard Dominique Gilles Hervé Fabrice Fabien Cédric Ludovic Arnaud Xavier
Emmanuel Denis Yves Serge Franck Yann Damien Grégory Rémi Rémy Hugo Lucas Théo Louis Arthur Quentin Valentin Adrien
Baptiste Kévin Jérémy Jonathan Anthony Mickaël Michaël Raphaël Gabriel Simon Samuel Aurélien Loïc Gaël Gaëtan Ronan
Erwan Tanguy Malo Corentin Tristan Bastien Charles Henri Edouard Étienne Grégoire Augustin Benoît Cyril Cyrille Régis
René Roger Robert Raymond Marcel André Georges Guy Claude Joël Noël Luc Lionel Maurice Mohamed Mehdi Karim Rachid
Youssef Samir Nabil Farid Khaled Ahmed Ali Omar Hassan Abdelkader Abdoulaye Mamadou Ousmane Moussa Ibrahima Cheikh
Minh Tuấn Hùng Wei Jun Andrei Mihai Bogdan Ștefan Piotr Tomasz Łukasz Vladimir Dimitri Igor Giuseppe Marco Luca João
José António Pedro Álvaro Iñaki Peio Xabi Ange Don-Jacques Pasquale Hans Jürgen Björn Aymeric Bertrand Côme Foucauld
Gauthier Geoffroy Ghislain Hippolyte Jean-Loup Jean-Yves Joachim Joseph Kilian Léo Léon Marius Martin Matthias Maël
Nathan Noé Octave Oscar Pacôme Robin Sacha Sylvain Timothée Tom Ulysse Victor William Yannick Zacharie Gautier Elie Alix
""")

_TOP = 1 << 16


def _ladder(names: Sequence[str], steepness: float = 0.7) -> tuple[str, ...]:
    """4,096 steps on which each name stands as often as its place says: the n-th about n^-steepness as often."""
    weights = [(rank + 6) ** -steepness for rank in range(len(names))]
    unit, carried = 4096 / sum(weights), 0.0
    steps: list[str] = []
    for name, weight in zip(names, weights, strict=True):
        carried += weight * unit
        while len(steps) < min(round(carried), 4096):
            steps.append(name)
    return tuple(steps + [names[0]] * (4096 - len(steps)))


_COMMON = _ladder(_FAMILY)
_FROM_AFAR = _ladder(_AFAR, 0.4)
_WITH_PARTICLE = _ladder([name.replace("_", " ") for name in _PARTICLES], 0.3)
_RARE = tuple(root + ending for root in _ROOTS for ending in _ENDINGS)
_GIVEN = {True: _ladder(_WOMEN), False: _ladder(_MEN)}


def family(kind: int, first: int, second: int) -> str:
    """A surname. Each number is below 65,536: `kind` says which sort of name, the others which of them."""
    one = _single(kind, first)
    if kind % 25 == 0:  # two surnames, with a hyphen or without
        return f"{one}{'-' if kind % 2 else ' '}{_COMMON[second >> 4]}"
    return one


def given(woman: bool, kind: int, number: int) -> str:
    """A first name, sometimes of two."""
    name = _GIVEN[woman][number >> 4]
    if kind % 40 == 0 and "-" not in name:
        return f"{name}-{_GIVEN[woman][kind >> 4]}"
    return name


def _single(kind: int, number: int) -> str:
    share = kind / _TOP
    if share < 0.60:
        return _COMMON[number >> 4]
    if share < 0.80:
        return _RARE[number % len(_RARE)]
    if share < 0.94:
        return _FROM_AFAR[number >> 4]
    return _WITH_PARTICLE[number >> 4]
